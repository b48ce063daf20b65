"""What happens to data: corpora, truncation, partial targets, quality, shards, publishing."""
