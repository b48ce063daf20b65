"""Every Parquet file of a dataset is one that the Hub's viewer can page through, play and type."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.assemble import make_example
from augment.examples import EmbeddedAudio, SimulExample, example_features, example_schema
from augment.publish import publish_to_directory
from augment.quality import QualityConfig
from augment.shards import AUDIO_COLUMN, BYTES_PER_GROUP, ROWS_PER_GROUP, row_groups, write_shard
from tests.support.examples import PROVENANCE, build_dataset, load_kept, target, truncated

IDS = tuple(f"utterance-{index:03d}" for index in range(24))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The shards of a dataset with audio, one of them without rows, and of its published copy without audio."""
    root = tmp_path_factory.mktemp("datasets")
    build_dataset(root / "many", IDS, n_shards=3, license="unknown")
    build_dataset(root / "few", IDS[:1], n_shards=3)
    publish_to_directory(root / "many" / "dataset", root / "public")
    return sorted(root.glob("**/dataset/data/*.parquet")) + sorted(root.glob("public/data/*.parquet"))


def row(num_audio_bytes: int = 0) -> SimulExample:
    item = truncated("a")
    made = make_example(item, target("a"), load_kept(item), provenance=PROVENANCE, quality=QualityConfig())
    assert isinstance(made, SimulExample)
    return replace(made, audio=EmbeddedAudio(bytes=bytes(num_audio_bytes), path="a.flac"))


def test_there_are_full_empty_and_referenced_shards(shards: list[Path]) -> None:
    rows = [pq.read_metadata(path).num_rows for path in shards]
    assert len(rows) == 9
    assert min(rows) == 0
    assert sum(rows) == 2 * len(IDS) + 1


def test_every_column_chunk_has_a_page_index(shards: list[Path]) -> None:
    """Audio has offsets of its pages only: nobody searches for bytes by their smallest and largest value."""
    for path in shards:
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(index)
                assert chunk.has_offset_index, (path.name, chunk.path_in_schema)
                searchable = chunk.path_in_schema != AUDIO_COLUMN
                assert chunk.has_column_index or not searchable, (path.name, chunk.path_in_schema)


def test_the_schema_is_equal_across_all_shards(shards: list[Path]) -> None:
    first, *others = (pq.read_schema(path) for path in shards)
    assert first.names == example_schema().names
    assert all(other.equals(first, check_metadata=True) for other in others)


def test_the_huggingface_metadata_describes_every_column(shards: list[Path]) -> None:
    for path in shards:
        schema = pq.read_schema(path)
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert list(features) == schema.names
        assert features == example_features()
        assert features["audio"] == {"sampling_rate": 16_000, "_type": "Audio"}


@pytest.mark.slow
def test_no_row_group_of_a_heavy_shard_exceeds_its_limit(tmp_path: Path) -> None:
    heavy = row(30_000_000)
    write_shard(tmp_path, "heavy", (replace(heavy, id=str(index)) for index in range(5)))

    metadata = pq.read_metadata(tmp_path / "heavy")
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [3, 2]
    assert all(group.total_byte_size <= 100 * 10**6 for group in groups)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, BYTES_PER_GROUP // 3 - 1), max_size=300), st.integers(0, 5))
def test_groups_keep_all_rows_in_order_within_both_limits(sizes: list[int], divisor: int) -> None:
    """Sizes are those of lengths without contents: a range has a length and costs nothing."""
    base = row()
    rows = []
    for index, size in enumerate(sizes):
        audio = EmbeddedAudio(bytes=range(1 + size // (divisor + 1)), path="a.flac")  # type: ignore[arg-type]
        rows.append(replace(base, id=str(index), audio=audio))

    groups = list(row_groups(rows))

    assert [line["id"] for group in groups for line in group] == [str(index) for index in range(len(sizes))]
    for group in groups:
        assert 0 < len(group) <= ROWS_PER_GROUP
        assert sum(len(line["audio"]["bytes"]) for line in group) <= BYTES_PER_GROUP
