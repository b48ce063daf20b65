"""Scores of whole logs: what is counted, what is penalised, what is refused, in every compat mode."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluate.logs import RULES, Instance, Log, LogEntry, LogError, LogScores, score_log
from evaluate.logs.toolkits import Compat
from evaluate.resegment import Segment
from evaluate.trace import StreamTrace
from evaluate.units import Unit


def entry(index: int, text: str, reference: str | None, *, recording: str = "a", **changes: Any) -> LogEntry:
    words = text.split()
    delays = tuple(1000.0 * (i + 1) for i in range(len(words)))
    instance = Instance(
        index=index, prediction=text, delays=delays, elapsed=tuple(d + 500 for d in delays), source_length=4000.0
    )  # fmt: skip
    trace = replace(instance.to_trace(), **changes)
    return LogEntry(line=index + 1, position=index, trace=trace, recording=recording, reference=reference)


def score(
    *entries: LogEntry,
    references: list[str] | None = None,
    segments: list[Segment] | None = None,
    unit: Unit = "word",
    lang: str | None = "de",
    compat: Compat | None = None,
    format: str = "simuleval",
) -> LogScores:
    log = Log(format=format, entries=entries, findings=())
    return score_log(log, references=references, segments=segments, unit=unit, lang=lang, compat=compat)


def segment(recording: str, offset_ms: float, reference: str) -> Segment:
    return Segment(recording=recording, offset_ms=offset_ms, duration_ms=2000.0, reference=reference)


def test_every_object_of_scores_states_the_unit() -> None:
    result = score(entry(0, "eins zwei", "eins zwei")).to_json()
    assert result["unit"] == result["corpus"]["unit"] == result["utterances"][0]["unit"] == "word"
    assert result["time_unit"] == "ms"


def test_an_empty_prediction_leaves_the_plain_mean_and_costs_all_audio_in_the_penalised_one() -> None:
    result = score(entry(0, "eins zwei", "eins zwei"), entry(1, "", "drei vier"))
    assert result.corpus["LAAL"] == 0.0 + (1000 + 2000 - 2000) / 2
    assert result.penalised["LAAL"] == (500 + 4000) / 2
    assert result.empty == ("1",)
    assert result.to_json()["corpus"]["n_empty"] == 1


def test_a_failed_utterance_is_empty_for_quality_and_named() -> None:
    failure = "longer_than_window: 99 s"
    good, bad = (
        entry(0, "eins zwei drei vier", "eins zwei drei vier"),
        entry(1, "", "fünf sechs", failure=failure),
    )
    result = score(good, bad)
    assert result.failed == {"1": failure}
    assert result.quality is not None
    alone = score(good).quality
    assert alone is not None
    assert result.quality["BLEU"] < alone["BLEU"] == pytest.approx(100.0)
    assert (alone["TER"], result.quality["TER"]) == (0.0, pytest.approx(100 * 2 / 6))


def test_a_dropped_utterance_counts_as_empty_for_quality_and_is_named() -> None:
    kept = [entry(0, "eins zwei drei vier", None), entry(2, "fünf sechs", None)]
    lines = ["eins zwei drei vier", "was fehlt", "fünf sechs"]
    result = score(*kept, references=lines)
    assert result.missing == ("1",)
    assert result.quality is not None
    assert result.quality["TER"] == pytest.approx(100 * 2 / 8)


def test_references_of_another_number_are_refused() -> None:
    with pytest.raises(LogError, match="1 references for a log that needs 2"):
        score(entry(0, "a", None), entry(1, "b", None), references=["a"])
    with pytest.raises(LogError, match="3 references for a log that needs 1"):
        score(entry(0, "a", None), references=["a", "b", "c"], format="simulstream")


def test_without_references_the_output_stands_for_their_length_and_there_is_no_quality() -> None:
    result = score(entry(0, "eins zwei", None))
    assert result.quality is None
    assert result.corpus["AL"] == result.corpus["LAAL"] == 500.0


def test_double_spaces_in_a_reference_change_nothing_but_in_compat() -> None:
    clean, dirty = entry(0, "eins zwei", "eins zwei"), entry(0, "eins zwei", "eins  zwei ")
    assert score(clean).corpus["LAAL"] == score(dirty).corpus["LAAL"] == 500.0
    assert score(dirty, compat="simuleval").corpus["LAAL"] == 1000.0


def test_a_unit_that_the_log_did_not_count_is_refused_with_the_other() -> None:
    with pytest.raises(LogError, match=r"2 delays, but its text has 8 units .*give --unit word"):
        score(entry(0, "eins zwei", None), unit="char")


def test_characters_without_a_language_have_latency_but_no_quality() -> None:
    instance = Instance(
        index=0, prediction="今天好", delays=(1000.0,) * 3, elapsed=None, source_length=4000.0
    )  # fmt: skip
    one = LogEntry(line=1, position=0, trace=instance.to_trace(), recording="a", reference="今天很好")
    assert score(one, unit="char", lang=None).quality is None
    quality = score(one, unit="char", lang="zh").quality
    assert quality is not None
    assert "tok:zh" in str(quality["BLEU_signature"])
    assert quality["TER"] == 25.0


def test_thai_has_no_ter_rather_than_a_wrong_one() -> None:
    instance = Instance(index=0, prediction="กข", delays=(1.0, 2.0), elapsed=None, source_length=9.0)
    one = LogEntry(line=1, position=0, trace=instance.to_trace(), recording="a", reference="กข")
    quality = score(one, unit="char", lang="th").quality
    assert quality is not None
    assert "TER" not in quality


def test_num_chunks_and_rtf_are_the_true_ones_outside_compat() -> None:
    two_writes = Instance(
        index=0, prediction="a b c", delays=(1000.0, 1000.0, 2000.0), elapsed=(1200.0, 1200.0, 2500.0),
        source_length=4000.0,
    )  # fmt: skip
    one = LogEntry(line=1, position=0, trace=two_writes.to_trace(), recording="a", reference="a b c")
    ours, theirs = score(one).corpus, score(one, compat="simuleval").corpus
    assert (ours["NumChunks"], theirs["NumChunks"]) == (2, 3)
    assert (ours["RTF"], theirs["RTF"]) == (0.125, 0.5)


def test_a_recording_is_cut_into_its_segments_and_negative_delays_are_scored() -> None:
    segments = [segment("a", 0.0, "eins zwei"), segment("a", 3500.0, "drei vier")]
    result = score(entry(0, "eins zwei drei vier", None), segments=segments)
    assert [row.output.text for row in result.rows] == ["eins zwei", "drei vier"]
    assert result.rows[1].output.delays_ms == (-500.0, 500.0)
    assert result.corpus["StreamLAAL"] == (1000 + -500) / 2
    assert result.corpus["StartOffset"] == 1000.0


def test_long_yaal_ends_with_the_audio_and_in_omnisteval_with_the_last_segment() -> None:
    segments = [segment("a", 0.0, "eins zwei drei vier")]
    late = entry(0, "eins zwei drei vier", None, source_ms=4500.0)
    assert score(late, segments=segments).corpus["LongYAAL"] == (1000 + 1500 + 2000 + 2500) / 4
    theirs = score(late, segments=segments, compat="omnisteval").corpus["LongYAAL (CU)"]
    assert theirs == 1000.0  # only "eins" came before 2000 ms


def test_a_recording_that_the_log_lacks_is_empty_and_named() -> None:
    segments = [segment("a", 0.0, "eins"), segment("b", 0.0, "zwei")]
    result = score(entry(0, "eins", None), segments=segments)
    assert (result.missing, result.empty) == (("b",), ("b_0",))
    assert result.penalised["StreamLAAL"] == (1000 + 2000) / 2
    assert result.quality is not None
    assert result.quality["TER"] == 50.0


def test_an_empty_reference_segment_is_safe_and_costs_nothing_when_nothing_is_said() -> None:
    segments = [segment("a", 0.0, ""), segment("a", 2000.0, "eins zwei")]
    result = score(entry(0, "eins zwei", None), segments=segments)
    assert [row.output.text for row in result.rows] == ["", "eins zwei"]
    assert result.penalised["StreamLAAL"] == result.corpus["StreamLAAL"]


def test_a_recording_without_segments_or_logged_twice_is_refused() -> None:
    segments = [segment("a", 0.0, "eins")]
    with pytest.raises(LogError, match="'z' has no segments"):
        score(entry(0, "eins", None, recording="z"), segments=segments)
    with pytest.raises(LogError, match="'a' has already an output on line 1"):
        score(entry(0, "eins", None), entry(1, "eins", None), segments=segments)


def test_simuleval_is_not_asked_for_what_it_cannot_do() -> None:
    with pytest.raises(LogError, match="--compat omnisteval or simulstream"):
        score(entry(0, "eins", None), segments=[segment("a", 0.0, "eins")], compat="simuleval")


def test_omnistevals_fixed_clock_is_applied_to_short_utterances_too() -> None:
    slow = Instance(
        index=0, prediction="a b", delays=(1000.0, 2000.0), elapsed=(3000.0, 6000.0), source_length=9000.0
    )
    one = LogEntry(line=1, position=0, trace=slow.to_trace(), recording="a", reference="a b")
    scores = score(one, compat="omnisteval").corpus
    assert scores["AL_CA"] == (3000 + 6000 - 4500) / 2
    assert scores["AL_CAfix"] == (3000 + 4000 - 4500) / 2


def test_simulstreams_decreasing_clock_is_scored_in_its_compat_mode() -> None:
    steps = entry(0, "a b", None).trace.steps
    one = entry(0, "a b", "a b", steps=(replace(steps[0], compute_s=5.0), replace(steps[1], compute_s=0.1)))
    scores = score(one, compat="simulstream", format="simulstream")
    assert scores.corpus["StreamLAAL_CA_s"] == 6.0
    assert scores.to_json()["time_unit"] == "s"
    proportions = {
        format: score(one, compat="omnisteval", format=format).corpus["AP_CA"]
        for format in ("simulstream", "simuleval")
    }
    assert proportions == {"simulstream": (6000 + 2100) / 8000, "simuleval": (6000 + 7100) / 8000}


def test_a_log_of_nothing_scores_nothing() -> None:
    result = score()
    assert result.rows == ()
    assert result.quality is None
    assert math.isnan(result.corpus["RTF"])
    silent = StreamTrace(id="0", chunk_ms=None, source_ms=0.0, text="", emissions=(), steps=())
    assert score(entry(0, "", "x", steps=silent.steps)).to_json()["corpus"]["LAAL"] is None


def test_every_metric_and_every_rule_is_in_the_docs() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    short = score(entry(0, "eins zwei", "eins zwei"))
    long = score(entry(0, "eins", None), segments=[segment("a", 0.0, "eins")])
    assert short.quality is not None
    names = {name.removesuffix("_CA") for name in (*short.corpus, *long.corpus)}
    names |= {name for name in short.quality if not name.endswith("_signature")} | RULES.keys()
    assert [name for name in sorted(names) if f"`{name}`" not in docs] == []
