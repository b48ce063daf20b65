"""A shard is a bucket of rows in one Parquet file that the Hub can show, play and deduplicate.

Equal rows give equal bytes. Audio is streamed through: memory holds one row group at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from augment.atomic import file_sha256, replaced
from augment.examples import SimulExample, example_schema
from augment.records import to_row
from augment.schema import Shard
from lalm.errors import SimulsaError

ROWS_PER_GROUP = 100
TEXT_ROWS_PER_GROUP = 1000
BYTES_PER_GROUP = 100 * 10**6
"""The Hub's viewer reads a whole row group to show one row: small groups keep it quick."""

AUDIO_COLUMN = "audio.bytes"


class ShardError(SimulsaError):
    """A shard that is missing, damaged, or holds something other than SimulExamples."""


def bucket(id: str, n_shards: int) -> int:
    """The shard of an id: a function of the id alone, so a growing corpus never moves a row."""
    digest = hashlib.blake2b(id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % n_shards


def shard_name(index: int, n_shards: int) -> str:
    """The path of a shard below its dataset directory."""
    return f"data/train-{index:05d}-of-{n_shards:05d}.parquet"


def write_shard(root: Path, name: str, rows: Iterable[SimulExample]) -> Shard:
    """Write `rows` in their order to `root / name`, atomically; a shard of no rows is a valid file."""
    path = root / name
    num_rows = 0
    with replaced(path) as temporary, _writer(temporary) as writer:
        for group in row_groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=example_schema()))
            num_rows += len(group)
    return Shard(path=name, sha256=file_sha256(path), num_bytes=path.stat().st_size, rows=num_rows)


def read_shard(path: Path) -> Iterator[dict[str, Any]]:
    """Yield each row as a dict, one row group in memory; `audio` is `{bytes, path}` or None."""
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise ShardError(f"{path.name} cannot be read as Parquet ({error}): rebuild the dataset") from error


def verify_shard(root: Path, shard: Shard) -> None:
    """Raise ShardError unless the file has the size and sha256 that its manifest names."""
    path = root / shard.path
    if not path.is_file():
        raise ShardError(f"{shard.path} is named by the manifest but is missing: rebuild the dataset")
    for rule, wanted, found in (
        ("bytes", shard.num_bytes, path.stat().st_size),
        ("sha256", shard.sha256, file_sha256(path)),
    ):
        if wanted != found:
            raise ShardError(f"{shard.path} must have {rule} {wanted} but has {found}: rebuild the dataset")


def row_groups(rows: Iterable[SimulExample]) -> Iterator[list[dict[str, Any]]]:
    """Cut the stream into groups of at most BYTES_PER_GROUP of audio and ROWS_PER_GROUP rows, more without audio.

    A footer describes every column of every group: small groups of text alone would be mostly footer.
    """
    group: list[dict[str, Any]] = []
    group_bytes = 0
    for example in rows:
        num_bytes = len(example.audio.bytes) if example.audio else 0
        limit = ROWS_PER_GROUP if group_bytes + num_bytes else TEXT_ROWS_PER_GROUP
        if group and (len(group) >= limit or group_bytes + num_bytes > BYTES_PER_GROUP):
            yield group
            group, group_bytes = [], 0
        group.append(to_row(example))
        group_bytes += num_bytes
    if group:
        yield group


def _writer(path: Path) -> pq.ParquetWriter:
    """FLAC does not compress again and never repeats, so its column is stored as it is."""
    columns = leaf_columns(example_schema())
    others = [column for column in columns if column != AUDIO_COLUMN]
    return pq.ParquetWriter(
        path,
        example_schema(),
        compression={column: "NONE" if column == AUDIO_COLUMN else "zstd" for column in columns},
        use_dictionary=others,
        column_encoding={AUDIO_COLUMN: "PLAIN"},
        write_page_index=True,
        use_content_defined_chunking=True,
    )


def leaf_columns(schema: pa.Schema) -> list[str]:
    """The dotted Parquet paths of a schema's leaves, as `compression` wants them."""
    return [path for field in schema for path in _leaves(field, field.name)]


def _leaves(field: pa.Field, path: str) -> Iterator[str]:
    if pa.types.is_struct(field.type):
        for child in field.type:
            yield from _leaves(child, f"{path}.{child.name}")
    elif pa.types.is_list(field.type):
        yield from _leaves(field.type.value_field, f"{path}.list.element")
    else:
        yield path
