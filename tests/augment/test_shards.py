"""A shard is what the Hub expects, and reads back as it was written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment import shards
from augment.assemble import make_example
from augment.audio import decode_flac
from augment.examples import SimulExample, card_features, example_features, example_schema
from augment.quality import QualityConfig
from augment.records import from_row
from augment.shards import ShardError, bucket, read_shard, shard_name, verify_shard, write_shard
from tests.support.examples import PROVENANCE, load_kept, target, truncated


def example(id: str, text: str = "wir werden") -> SimulExample:
    item = truncated(id)
    row = make_example(
        item, target(id, text), load_kept(item), provenance=PROVENANCE, quality=QualityConfig()
    )
    assert isinstance(row, SimulExample)
    return row


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 1000))
def test_every_id_has_one_bucket_within_range(id: str, n_shards: int) -> None:
    assert 0 <= bucket(id, n_shards) < n_shards
    assert bucket(id, n_shards) == bucket(id, n_shards)


def test_the_bucket_of_an_id_never_changes_between_releases() -> None:
    assert [bucket(id, 16) for id in ("a", "b", "common_voice_en_1.mp3", "ted_1_2.d3")] == [15, 5, 15, 13]


def test_rows_read_back_equal_and_audio_sample_for_sample(tmp_path: Path) -> None:
    rows = [example("a"), example("b", "")]

    write_shard(tmp_path, shard_name(0, 1), rows)
    back = list(read_shard(tmp_path / shard_name(0, 1)))

    assert [from_row(row, SimulExample) for row in back] == rows
    assert np.array_equal(decode_flac(back[0]["audio"]["bytes"]), load_kept(truncated("a")))


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    one, two = (write_shard(tmp_path, name, [example("a"), example("b")]) for name in ("one", "two"))

    assert one.sha256 == two.sha256
    assert (one.rows, one.num_bytes) == (2, (tmp_path / "one").stat().st_size)


def test_row_groups_are_small_enough_for_the_viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = example("a")
    assert row.audio
    write_shard(tmp_path, "many", [replace(row, id=f"{i:03d}") for i in range(230)])
    monkeypatch.setattr(shards, "BYTES_PER_GROUP", 2 * len(row.audio.bytes))
    write_shard(tmp_path, "heavy", [replace(row, id=str(i)) for i in range(5)])

    sizes = {
        name: [pq.ParquetFile(tmp_path / name).metadata.row_group(i).num_rows for i in range(3)]
        for name in ("many", "heavy")
    }
    assert sizes == {"many": [100, 100, 30], "heavy": [2, 2, 1]}


def test_audio_is_stored_plain_and_all_else_compressed(tmp_path: Path) -> None:
    write_shard(tmp_path, "shard", [example("a"), example("b")])

    group = pq.ParquetFile(tmp_path / "shard").metadata.row_group(0)
    columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    audio = columns.pop("audio.bytes")
    assert audio.compression == "UNCOMPRESSED"
    assert not audio.has_dictionary_page
    assert audio.has_offset_index
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert {"messages.list.element.content", "qc.flags.list.element"} <= columns.keys()


def test_features_are_what_the_datasets_library_writes_itself(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features.from_dict(example_features())

    assert features.to_dict() == example_features()
    assert features._to_yaml_list() == card_features()
    assert features.arrow_schema.equals(example_schema())
    write_shard(tmp_path, "shard", [])
    metadata = pq.read_schema(tmp_path / "shard").metadata[b"huggingface"]
    assert json.loads(metadata)["info"]["features"].keys() == set(example_schema().names)


def test_a_shard_without_rows_is_a_valid_file(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, "empty", [])

    assert shard.rows == 0
    assert list(read_shard(tmp_path / "empty")) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "must have bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"), "must have sha256"),
    ],
)
def test_a_damaged_shard_is_named_with_the_rule_it_breaks(tmp_path: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    shard = write_shard(tmp_path, "data/shard", [example("a")])
    verify_shard(tmp_path, shard)

    damage(tmp_path / shard.path)

    with pytest.raises(ShardError, match=f"data/shard.*{message}"):
        verify_shard(tmp_path, shard)


def test_a_file_that_is_not_parquet_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "shard").write_bytes(b"not parquet")

    with pytest.raises(ShardError, match="shard cannot be read"):
        list(read_shard(tmp_path / "shard"))


def test_a_killed_write_leaves_no_shard(tmp_path: Path) -> None:
    def rows():  # type: ignore[no-untyped-def]
        yield example("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, "shard", rows())

    assert list(tmp_path.iterdir()) == []
