"""A dataset's quality summary counts every flag, every drop and every row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from augment.quality import FLAGS, QualitySummary, summarise_quality
from augment.schema import Rejection
from tests.support.examples import build_dataset

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
