"""A survey counts every line, hears only a sample, and names what is wrong with examples."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from augment.corpora import CorpusConfig, open_corpus
from augment.corpora.survey import Survey, survey
from tests.support.corpora import write_audio, write_covost2, write_iwslt, write_jsonl


def of(config: CorpusConfig, *, headers: int = 100) -> Survey:
    return survey(open_corpus(config, "train"), headers=headers)


def counted(found: Survey) -> dict[tuple[str, str], tuple[int, int]]:
    return {(p.kind, p.reason): (p.count, p.of) for p in found.problems}


def append(root: Path, *records: dict[str, object] | str) -> None:
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    with (root / "train.jsonl").open("a") as file:
        file.writelines(line + "\n" for line in lines)


def test_hours_are_measured_when_every_header_is_read_and_estimated_otherwise(tmp_path: Path) -> None:
    config = write_covost2(tmp_path, 9, durations_s=(1.0, 2.0, 3.0))
    whole, part, none = of(config), of(config, headers=4), of(config, headers=0)
    assert whole.hours == pytest.approx(18 / 3600)
    assert (whole.hours_estimated, part.hours_estimated) == (False, True)
    assert part.hours is not None
    assert 9 / 3600 <= part.hours <= 27 / 3600
    assert (part.headers_read, none.headers_read, none.hours, none.duration_s) == (4, 0, None, None)


def test_segments_that_tell_their_duration_need_no_header(tmp_path: Path) -> None:
    found = of(write_iwslt(tmp_path, recordings=2, segments=3, segment_s=1.5), headers=0)
    assert found.hours == pytest.approx(9 / 3600)
    assert not found.hours_estimated
    assert found.speakers == 2
    assert found.duration_s is not None
    assert (found.duration_s.n, found.duration_s.percentiles["p50"]) == (6, 1.5)


def test_every_line_is_in_one_count_and_every_problem_has_its_reason(tmp_path: Path) -> None:
    config = write_jsonl(tmp_path, 3)
    good = {"audio": "audio/train_000.flac", "src_text": "abcd", "tgt_text": "efgh"}
    write_audio(tmp_path / "audio/long.flac", 31.0)
    append(
        tmp_path, "{", "[]", good | {"id": "a", "tgt_text": ""},
        good | {"id": "b", "tgt_text": "x" * 17}, good | {"id": "c", "tgt_text": "abcd"},
        good | {"id": "d", "audio": "audio/none.flac"}, good | {"id": "e", "audio": "audio/long.flac"},
        good | {"id": "f", "offset_s": 9.0},
    )  # fmt: skip
    found = of(config)
    assert (found.lines, found.utterances, found.rejected) == (11, 8, 3)
    assert counted(found) == {
        ("rejected", "malformed_line"): (2, 11),
        ("rejected", "empty_reference"): (1, 11),
        ("audio", "audio_missing"): (1, 8),
        ("audio", "audio_offset_past_end"): (1, 8),
        ("suspicious", "length_ratio"): (1, 8),
        ("suspicious", "longer_than_30_s"): (1, 8),
        ("suspicious", "untranslated"): (1, 8),
    }
    assert found.problems[0].examples[0].startswith("train.jsonl:4: the line is not JSON")
    json.dumps(asdict(found), allow_nan=False)


def test_examples_are_few_however_many_there_are(tmp_path: Path) -> None:
    config = write_jsonl(tmp_path, 1)
    append(tmp_path, *["{"] * 50)
    (problem,) = of(config).problems
    assert (problem.count, len(problem.examples)) == (50, 3)


def test_sample_depends_on_the_ids_alone(tmp_path: Path) -> None:
    config = write_covost2(tmp_path, 12, durations_s=tuple(1 + k / 10 for k in range(12)))
    before = of(config, headers=5).duration_s
    tsv = tmp_path / "covost_v2.en_de.train.tsv"
    head, *lines = tsv.read_text().splitlines()
    tsv.write_text("\n".join([head, *reversed(lines)]) + "\n")
    after = of(config, headers=5).duration_s
    assert before is not None
    assert after is not None
    assert (before.n, before.percentiles, sum(before.counts)) == (5, after.percentiles, 5)


def test_languages_and_licences_are_counted_by_row(tmp_path: Path) -> None:
    config = write_jsonl(tmp_path, 2)
    append(tmp_path, {"audio": "b.flac", "tgt_text": "x", "tgt_lang": "fr", "license": "mit"})
    found = of(config, headers=0)
    assert found.languages == {"en-de": 2, "en-fr": 1}
    assert found.licenses == {"cc0-1.0": 2, "mit": 1}
    assert (found.without_transcript, found.without_speaker, found.speakers) == (1, 3, None)
