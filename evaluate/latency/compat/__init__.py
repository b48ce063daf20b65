"""Other toolkits' numbers, for comparison with published tables; docs/metrics.md says where they are wrong."""
