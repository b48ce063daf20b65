"""Rows, shards and finished datasets: balanced, deterministic, and loadable by `datasets`."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from augment.assemble import DatasetConfig, assemble_shard, make_example
from augment.audio import AudioError
from augment.examples import SimulExample
from augment.finish import finish_dataset
from augment.manifest import DatasetError, load_manifest, verify_dataset
from augment.quality import QualityConfig
from augment.records import read_records
from augment.schema import PartialTarget, Rejection
from augment.shards import ShardError, read_shard
from tests.support.examples import PROVENANCE, build_dataset, load_kept, target, truncated

IDS = tuple("abcdefgh")
READ = Rejection(id="x1", stage="read", reason="empty_reference", detail="empty", where="train.tsv:3")
LATER = Rejection(id="x2", stage="truncate", reason="too_short_to_truncate", detail="0.2 s")


def test_a_row_says_what_was_kept_of_what_and_by_which_rule() -> None:
    item = truncated("a", 12_000)
    row = make_example(item, target("a"), load_kept(item), provenance=PROVENANCE, quality=QualityConfig())

    assert isinstance(row, SimulExample)
    assert (row.duration_s, row.full_duration_s, row.kept_ratio) == (0.75, 1.5, 0.5)
    assert row.audio_ref.sha256 == item.kept_sha256
    assert [message.content for message in row.messages] == [
        "<audio>Translate the English speech into German.",
        "wir werden",
    ]
    assert (row.accepted_tokens, row.draft_tokens, row.mean_logprob) == (2, 6, -0.25)


def test_audio_that_changed_since_it_was_scored_is_rejected() -> None:
    item = truncated("a")
    row = make_example(
        item, target("a"), load_kept(truncated("b")), provenance=PROVENANCE, quality=QualityConfig()
    )

    assert isinstance(row, Rejection)
    assert (row.stage, row.reason) == ("assemble", "audio_changed")


def test_a_declared_flag_drops_the_row_into_the_rejections(tmp_path: Path) -> None:
    config = DatasetConfig(n_shards=1, quality=QualityConfig(drop=("too_few_words",)))
    shard = assemble_shard(
        tmp_path,
        index=0,
        pairs=[(truncated("a"), target("a", "wir")), (truncated("b"), target("b", ""))],
        rejections=[LATER],
        load_kept=load_kept,
        provenance=PROVENANCE,
        config=config,
    )

    rejected = read_records(tmp_path / "rejected-00000.parquet", Rejection)
    assert shard.rows == 1
    assert [(item.id, item.reason) for item in rejected] == [
        ("a", "too_few_words"),
        ("x2", "too_short_to_truncate"),
    ]
    assert [e.id for e in read_records(tmp_path / "evidence-00000.parquet", PartialTarget)] == ["b"]


def test_audio_lost_since_truncation_becomes_a_rejection_with_its_reason(tmp_path: Path) -> None:
    def lost(item: object) -> None:
        raise AudioError("audio_missing", "a.wav is gone")

    shard = assemble_shard(
        tmp_path,
        index=0,
        pairs=[(truncated("a"), target("a"))],
        rejections=[],
        load_kept=lost,  # type: ignore[arg-type]
        provenance=PROVENANCE,
        config=DatasetConfig(n_shards=1),
    )

    assert shard.rows == 0
    (rejected,) = read_records(tmp_path / "rejected-00000.parquet", Rejection)
    assert (rejected.stage, rejected.reason) == ("assemble", "audio_missing")


def test_every_input_is_a_row_or_counted_with_its_reason(tmp_path: Path) -> None:
    manifest = build_dataset(
        tmp_path, IDS, texts={"c": ""}, rejections=[LATER], read_rejections=[READ], not_selected=90
    )

    counts = manifest.counts
    assert (counts.input, counts.not_selected, counts.rejected_at_read) == (100, 90, 1)
    assert (counts.selected, counts.rejected_later, counts.rows) == (9, 1, 8)
    assert manifest.rejected == {"read.empty_reference": 1, "truncate.too_short_to_truncate": 1}
    assert len(read_records(tmp_path / "dataset" / "rejected.parquet", Rejection)) == 2
    assert manifest.summary.empty_targets == 1
    assert manifest.summary.accepted_ratio == round(14 / 48, 4)


def test_a_balance_that_does_not_hold_is_our_own_bug(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS)
    with pytest.raises(ValueError, match="input=3 must equal"):
        finish_dataset(
            tmp_path / "again",
            part_dirs=[tmp_path / "parts" / "0", tmp_path / "parts" / "1"],
            read_rejections=[],
            num_input=3,
            not_selected=0,
            provenance=PROVENANCE,
            config=DatasetConfig(n_shards=2),
        )


def test_equal_inputs_give_equal_files_in_any_order_of_arrival(tmp_path: Path) -> None:
    build_dataset(tmp_path / "one", IDS, read_rejections=[READ, replace(READ, id="x0")])
    build_dataset(tmp_path / "two", IDS[::-1], read_rejections=[replace(READ, id="x0"), READ])

    one, two = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "one" / "dataset", tmp_path / "two" / "dataset")
    )
    assert one == two
    assert {str(name) for name in one} == {
        "README.md",
        "manifest.json",
        "rejected.parquet",
        "evidence.parquet",
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "pictures/kept-share.png",
        "pictures/kept-seconds.png",
        "pictures/length-ratio.png",
    }


def test_float_evidence_stays_outside_the_dataset_digest(tmp_path: Path) -> None:
    def build(root: Path, logprob: float) -> str:
        evidence = target("a", kept_logprobs=(logprob,), mean_logprob=round(logprob, 4))
        assemble_shard(
            root / "part",
            index=0,
            pairs=[(truncated("a"), evidence)],
            rejections=[],
            load_kept=load_kept,
            provenance=PROVENANCE,
            config=DatasetConfig(n_shards=1),
        )
        return finish_dataset(
            root,
            part_dirs=[root / "part"],
            read_rejections=[],
            num_input=1,
            not_selected=0,
            provenance=PROVENANCE,
            config=DatasetConfig(n_shards=1),
        ).dataset_digest

    assert build(tmp_path / "one", -0.25) == build(tmp_path / "two", -0.250001)


def test_no_machine_path_enters_the_dataset(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS)

    for name in ("README.md", "manifest.json"):
        assert str(tmp_path) not in (tmp_path / "dataset" / name).read_text()


def test_a_manifest_reads_back_and_its_shards_verify(tmp_path: Path) -> None:
    manifest = build_dataset(tmp_path, IDS)

    assert verify_dataset(tmp_path / "dataset") == manifest
    shard = tmp_path / "dataset" / manifest.shards[1].path
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ShardError, match="train-00001-of-00002"):
        verify_dataset(tmp_path / "dataset")


@pytest.mark.parametrize("content", ["{", "[]", '{"format_version": 1}', '{"format_version": 99}'])
def test_a_foreign_manifest_is_refused_with_a_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)

    with pytest.raises(DatasetError, match="rebuild the dataset"):
        load_manifest(tmp_path)


def test_a_dataset_without_rows_is_refused_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no row.*6 inputs, 5 not selected.*empty_reference"):
        build_dataset(tmp_path, (), read_rejections=[READ])
    assert not (tmp_path / "dataset" / "manifest.json").exists()


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS)
    next((tmp_path / "parts" / "1").rglob("train-*")).unlink()

    with pytest.raises(DatasetError, match="shard 1 of 2 is missing"):
        finish_dataset(
            tmp_path / "again",
            part_dirs=[tmp_path / "parts" / "0", tmp_path / "parts" / "1"],
            read_rejections=[],
            num_input=13,
            not_selected=5,
            provenance=PROVENANCE,
            config=DatasetConfig(n_shards=2),
        )


def test_the_card_names_the_method_the_counts_and_the_licence(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS, read_rejections=[READ], license="CC BY-NC 4.0")

    _, front, body = (tmp_path / "dataset" / "README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["license"] == "cc-by-nc-4.0"
    assert metadata["language"] == ["de", "en"]
    assert metadata["dataset_info"]["splits"][0]["num_examples"] == 8
    for claim in ("machine-generated", "Beta(1.0", "| `read.empty_reference` | 1 |", "| **rows** | **8** |"):
        assert claim in body


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets")


def test_datasets_loads_every_row_with_playable_audio(tmp_path: Path, offline) -> None:  # type: ignore[no-untyped-def]
    manifest = build_dataset(tmp_path, IDS[:3], n_shards=4, texts={"b": ""})
    assert 0 in {shard.rows for shard in manifest.shards}

    rows = offline.load_dataset(str(tmp_path / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(rows.features["audio"], offline.Audio)
    rows = rows.cast_column("audio", offline.Audio(decode=False))

    by_id = {row["id"]: row for row in rows}
    assert sorted(by_id) == ["a", "b", "c"]
    assert by_id["b"]["partial_text"] == ""
    waveform, rate_hz = soundfile.read(io.BytesIO(by_id["a"]["audio"]["bytes"]), dtype="float32")
    assert rate_hz == 16_000
    assert np.array_equal(waveform, load_kept(truncated("a")))


def test_datasets_notices_a_lost_shard(tmp_path: Path, offline) -> None:  # type: ignore[no-untyped-def]
    manifest = build_dataset(tmp_path, IDS)
    (tmp_path / "dataset" / manifest.shards[0].path).unlink()

    with pytest.raises(offline.utils.info_utils.NonMatchingSplitsSizesError):
        offline.load_dataset(str(tmp_path / "dataset"), cache_dir=str(tmp_path / "cache"))


def test_only_shards_lie_below_data(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS, rejections=[LATER])

    names = {path.name for path in (tmp_path / "dataset" / "data").iterdir()}
    assert names == {"train-00000-of-00002.parquet", "train-00001-of-00002.parquet"}
    ids = [row["id"] for name in sorted(names) for row in read_shard(tmp_path / "dataset" / "data" / name)]
    assert sorted(ids) == list(IDS)
    assert pq.ParquetFile(tmp_path / "dataset" / "evidence.parquet").metadata.num_rows == len(IDS)
