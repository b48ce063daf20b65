"""A dataset's quality summary counts every flag, every drop and every row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from augment.assemble import DatasetConfig, assemble_shard
from augment.quality import FLAGS, QualitySummary, summarise_quality
from augment.records import write_records
from augment.schema import QualityEstimate, Rejection
from augment.shards import shard_name
from tests.support.examples import PROVENANCE, build_dataset, load_kept, target, truncated

IDS = tuple("abcdef")
TEXTS = {"a": "", "b": "wir", "c": "so so so so so"}


@pytest.fixture
def summary(tmp_path: Path) -> QualitySummary:
    dropped = [
        Rejection(id="x", stage="assemble", reason="audio_silent", detail=""),
        Rejection(id="y", stage="truncate", reason="audio_too_short", detail=""),
    ]
    manifest = build_dataset(tmp_path, IDS, texts=TEXTS, rejections=dropped)
    return summarise_quality(tmp_path / "dataset", [shard.path for shard in manifest.shards])


def test_flags_and_drops_are_counted_by_rule(summary: QualitySummary) -> None:
    assert (summary.rows, summary.flagged) == (6, 2)
    assert {flag: n for flag, n in summary.flags.items() if n} == {"too_few_words": 1, "repetition": 1}
    assert {flag: n for flag, n in summary.dropped.items() if n} == {"audio_silent": 1}
    assert tuple(summary.flags) == FLAGS


def test_every_row_lies_in_one_interval_of_each_histogram(summary: QualitySummary) -> None:
    assert summary.histograms.keys() == {"kept audio in seconds", "length ratio"}
    for shape in summary.histograms.values():
        assert sum(shape.counts) == summary.rows
        assert len(shape.edges) == len(shape.counts) + 1
    assert summary.histograms["length ratio"].counts[0] == 1  # the empty target


def test_json_is_strict_and_the_card_says_that_no_language_was_identified(summary: QualitySummary) -> None:
    plain = summary.to_json()

    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["histograms"]["length ratio"][-1] == {"from": 4.0, "to": None, "rows": 0}
    card = summary.to_markdown()
    assert "2 of 6 rows carry a flag" in card
    assert "| `audio_silent` | 0 | 1 |" in card
    assert "No row's language was identified" in card


def test_card_counts_estimates_by_model_and_names_rows_without_one(tmp_path: Path) -> None:
    manifest = build_dataset(tmp_path, IDS)
    paths = [shard.path for shard in manifest.shards]
    assert "No quality estimation was run" in summarise_quality(tmp_path / "dataset", paths).to_markdown()

    scores = {"a": 0.1, "b": 0.65, "c": 0.65, "d": None, "e": -0.2, "f": 1.1}
    estimates = {id: QualityEstimate(id=id, score=score, model="kiwi@1") for id, score in scores.items()}
    pairs = [(truncated(id), target(id)) for id in IDS]
    assemble_shard(
        tmp_path / "estimated", index=0, pairs=pairs, rejections=(), load_kept=load_kept, provenance=PROVENANCE,
        config=DatasetConfig(n_shards=1), estimates=estimates,
    )  # fmt: skip
    write_records(tmp_path / "estimated" / "rejected.parquet", [], Rejection)
    summary = summarise_quality(tmp_path / "estimated", [shard_name(0, 1)])
    assert (summary.qe_checked, summary.flags["low_qe"]) == ({"kiwi@1": 5}, 2)
    card = summary.to_markdown()
    assert "`kiwi@1` for 5 rows (`qc.qe_score`); 1 rows have none" in card
    assert "| below 0 | 1 |" in card
    assert "| 0.6 to 0.7 | 2 |" in card
    assert summary.to_json()["histograms"]["estimated quality"][0] == {"from": None, "to": 0.0, "rows": 1}
