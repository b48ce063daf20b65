"""Audio comes back exactly as it was built, or the row that lacks it is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from augment.audio import decode_flac, to_int16
from augment.corpora import Corpus, CorpusConfig, open_corpus
from augment.manifest import DatasetError, load_manifest, save_manifest, verify_dataset
from augment.materialize import MaterializeError, MaterializeResult, materialize
from augment.publish import PublishError, publish_to_directory
from augment.records import read_records, to_row
from augment.schema import PartialTarget, Rejection
from augment.shards import read_shard
from tests.support.examples import build_dataset, full_waveform, utterance

IDS = tuple("abcdef")


def write_corpus(root: Path, ids: tuple[str, ...] = IDS) -> Corpus:
    """The corpus that `build_dataset` claims its rows come from, as a manifest and WAV files."""
    lines = []
    for id in ids:
        (root / "audio").mkdir(parents=True, exist_ok=True)
        soundfile.write(root / "audio" / f"{id}.wav", to_int16(full_waveform(id)), 16_000)
        lines.append(json.dumps({"id": id, "audio": f"audio/{id}.wav", "tgt_text": utterance(id).tgt_text}))
    (root / "train.jsonl").write_text("\n".join(lines) + "\n")
    config = CorpusConfig(name="toy", layout="jsonl", root=str(root), src_lang="en", tgt_lang="de")
    return open_corpus(config, "train")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A dataset of six rows whose audio was left out, for its licence is unknown."""
    rejected = [Rejection(id="x", stage="truncate", reason="too_short_to_truncate", detail="")]
    build_dataset(tmp_path, IDS, license="unknown", rejections=rejected)
    return publish_to_directory(tmp_path / "dataset", tmp_path / "public").target


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def run(published: Path, corpus: Corpus, **options: bool) -> MaterializeResult:
    return materialize(published, corpus, published.parent / "whole", **options)


def test_the_shards_come_back_byte_for_byte(tmp_path: Path, published: Path) -> None:
    result = run(published, write_corpus(tmp_path / "corpus"))

    built, whole = load_manifest(tmp_path / "dataset"), verify_dataset(tmp_path / "whole")
    assert (result.status, result.rows, result.rebuilt, result.failures) == ("materialized", 6, 6, ())
    assert (whole.shards, whole.audio) == (built.shards, "embedded")
    assert result.dataset_digest == whole.dataset_digest == built.dataset_digest
    assert contents(tmp_path / "whole").keys() == contents(tmp_path / "dataset").keys()
    assert "holds no audio" not in (tmp_path / "whole" / "README.md").read_text()


def test_the_result_loads_with_datasets(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    run(published, write_corpus(tmp_path / "corpus"))

    loaded = datasets.load_dataset(
        str(tmp_path / "whole"), split="train", cache_dir=str(tmp_path / "cache")
    ).cast_column("audio", datasets.Audio(decode=False))

    waves = {row["id"]: decode_flac(row["audio"]["bytes"]) for row in loaded}
    assert all(np.array_equal(waves[id], full_waveform(id)[:12_000]) for id in IDS)


def test_doing_it_again_changes_nothing(tmp_path: Path, published: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    run(published, corpus)
    before = (tmp_path / "whole").stat().st_ino

    assert run(published, corpus).status == "unchanged"
    assert (tmp_path / "whole").stat().st_ino == before


def damaged(root: Path) -> Corpus:
    """A corpus without `a`, with another recording under `b`, and with an empty file for `c`."""
    corpus = write_corpus(root)
    (root / "audio" / "a.wav").unlink()
    soundfile.write(root / "audio" / "b.wav", to_int16(full_waveform("z")), 16_000)
    (root / "audio" / "c.wav").write_bytes(b"")
    lines = (root / "train.jsonl").read_text().splitlines()
    (root / "train.jsonl").write_text("\n".join(line for line in lines if '"d"' not in line) + "\n")
    return corpus


FAILED = {
    "a": "audio_missing",
    "b": "audio_changed",
    "c": "audio_empty_file",
    "d": "not_in_corpus",
}


def test_every_failure_is_named_and_nothing_is_written(tmp_path: Path, published: Path) -> None:
    before = contents(tmp_path / "public")

    result = run(published, damaged(tmp_path / "corpus"))

    assert (result.status, result.rebuilt, result.dataset_digest) == ("incomplete", 2, None)
    assert {failure.id: failure.reason for failure in result.failures} == FAILED
    assert result.failed == dict.fromkeys(sorted(FAILED.values()), 1)
    assert all(failure.detail for failure in result.failures)
    assert not [path for path in tmp_path.iterdir() if "whole" in path.name]
    assert contents(tmp_path / "public") == before


def test_rows_that_may_be_missing_become_rejections_and_the_sums_hold(
    tmp_path: Path, published: Path
) -> None:
    result = run(published, damaged(tmp_path / "corpus"), allow_missing=True)

    whole = verify_dataset(tmp_path / "whole")
    rows = [row for shard in whole.shards for row in read_shard(tmp_path / "whole" / shard.path)]
    rejected = read_records(tmp_path / "whole" / "rejected.parquet", Rejection)
    evidence = read_records(tmp_path / "whole" / "evidence.parquet", PartialTarget)
    whole.counts.check()
    assert result.status == "materialized"
    assert {row["id"] for row in rows} == {item.id for item in evidence} == {"e", "f"}
    assert all(row["audio"]["bytes"] for row in rows)
    assert {item.id: item.reason for item in rejected} == FAILED | {"x": "too_short_to_truncate"}
    assert (whole.counts.rows, whole.counts.rejected_later) == (2, 5)
    assert sum(whole.rejected.values()) == 5
    assert whole.summary.kept_audio_s == 1.5


def test_a_dry_run_verifies_every_clip_and_writes_nothing(tmp_path: Path, published: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()} | {"corpus"}

    result = run(published, damaged(tmp_path / "corpus"), dry_run=True)

    assert (result.status, result.rows, len(result.failures)) == ("dry_run", 6, 4)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_line_that_the_reader_rejects_gives_its_reason(tmp_path: Path, published: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    path = tmp_path / "corpus" / "train.jsonl"
    path.write_text(path.read_text().replace("audio/e.wav", "../e.wav"))

    (failure,) = run(published, corpus).failures

    assert (failure.id, failure.reason) == ("e", "audio_outside_root")


def test_a_corpus_of_another_name_is_refused_before_any_audio_is_read(
    tmp_path: Path, published: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    other = open_corpus(corpus.config.model_copy(update={"name": "other"}), "train")

    with pytest.raises(MaterializeError, match="made of corpus toy, the given one is named 'other'"):
        run(published, other)


def test_a_dataset_with_audio_is_refused(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS)

    with pytest.raises(MaterializeError, match="holds its audio"):
        materialize(tmp_path / "dataset", write_corpus(tmp_path / "corpus"), tmp_path / "whole")


def test_another_dataset_in_the_target_is_kept(tmp_path: Path, published: Path) -> None:
    build_dataset(tmp_path / "other", ("k",))
    target = tmp_path / "other" / "dataset"
    manifest = load_manifest(target)
    save_manifest(target, replace(manifest, provenance=replace(manifest.provenance, model="another")))
    before = contents(target)

    with pytest.raises(MaterializeError, match="holds another dataset"):
        materialize(published, write_corpus(tmp_path / "corpus"), target)
    assert contents(target) == before


def test_a_target_that_is_no_dataset_or_overlaps_it_is_refused(tmp_path: Path, published: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    for target, message in ((tmp_path / "corpus", "holds no dataset"), (published, "overlaps")):
        with pytest.raises(PublishError, match=message):
            materialize(published, corpus, target)


def test_a_manifest_that_leads_outside_of_its_dataset_is_refused(tmp_path: Path, published: Path) -> None:
    manifest = load_manifest(published)
    (tmp_path / "outside.parquet").write_bytes((published / manifest.shards[0].path).read_bytes())
    content = to_row(manifest)
    content["shards"][0]["path"] = "../outside.parquet"
    (published / "manifest.json").write_text(json.dumps(content))

    with pytest.raises(DatasetError, match="leads outside"):
        run(published, write_corpus(tmp_path / "corpus"))
