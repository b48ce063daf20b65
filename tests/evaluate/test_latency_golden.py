"""Every value that SimulEval, OmniSTEval and simulstream gave on the golden cases, in the matching compat mode."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from evaluate.latency.clocks import queue_clock
from evaluate.latency.compat.clocks import omnisteval_clock, simuleval_clock, simulstream_clock
from evaluate.latency.compat.omnisteval import omnisteval_long_scores, omnisteval_scores
from evaluate.latency.compat.simuleval import simuleval_scores
from evaluate.latency.compat.simulstream import simulstream_effort, simulstream_scores
from evaluate.latency.lagging import length_adaptive_lagging
from evaluate.latency.scores import mean_scores, utterance_scores
from evaluate.latency.timed import TimedOutput, timed_output
from evaluate.latency.yaal import long_yaal
from evaluate.logs import Instance, read_log
from evaluate.quality import report_quality
from evaluate.resegment import Segment, by_recording, cut_recording, read_segments
from evaluate.trace import StreamTrace
from evaluate.units import Unit, split_units

GOLDEN = json.loads((Path(__file__).parent / "golden" / "latency.json").read_text(encoding="utf-8"))
CASES = pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["id"])
LONG = GOLDEN["longform"]["L1_two_talks"]
PRINTED = 5.1e-5
"""The command line of OmniSTEval prints four decimals."""


def instance(value: dict[str, Any], index: int = 0) -> Instance:
    return Instance(
        index=index,
        prediction=value["prediction"],
        delays=tuple(value["delays"]),
        elapsed=tuple(value["elapsed"]),
        source_length=value["source_length"],
        reference=value.get("reference"),
    )


def assert_equal(ours: dict[str, float], theirs: dict[str, Any], names: list[str], tolerance: float) -> None:
    assert names
    for name in names:
        expected = math.nan if theirs[name] == "NaN" else theirs[name]
        assert ours[name] == pytest.approx(expected, abs=tolerance, nan_ok=True), name


def write_simulstream(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@CASES
def test_simuleval_columns_are_reproduced(case: dict[str, Any]) -> None:
    theirs = case["expected"]["simuleval@1.1.4"]
    trace = instance(case).to_trace()
    ours = simuleval_scores(trace, case["reference"], case["unit"])
    without = simuleval_scores(trace, None, case["unit"])
    ours |= {f"{name}_no_ref_len": without[name] for name in ("AL", "LAAL", "AP")}
    assert_equal(ours, theirs, list(theirs), 1e-6)


@CASES
def test_omnisteval_columns_are_reproduced(case: dict[str, Any]) -> None:
    theirs = case["expected"]["omnisteval@0.1.10"]
    trace, reference, unit = instance(case).to_trace(), case["reference"], case["unit"]
    output = timed_output(trace, reference, unit, simuleval_clock)
    fixed = timed_output(trace, reference, unit, omnisteval_clock)
    ours = omnisteval_scores(output) | omnisteval_scores(fixed, "_CAfix")
    length = len(reference.split(" ")) if unit == "word" else len(reference)
    for name, end in (("source_length", trace.source_ms), ("None(inf)", math.inf)):
        for clock, times in (("", output.delays_ms), ("_CA", output.aware_ms)):
            assert times is not None
            ours[f"LongYAAL{clock}_recend={name}"] = long_yaal(times, trace.source_ms, length, end)
    assert_equal(ours, theirs, list(theirs), 1e-6)


@CASES
def test_simulstream_values_are_reproduced(case: dict[str, Any], tmp_path: Path) -> None:
    theirs = case["expected"]["simulstream@1.0.0"]
    steps = instance(case).to_trace().steps
    spent_s = dict(
        zip(
            case["delays"], (e - d for d, e in zip(case["delays"], case["elapsed"], strict=True)), strict=True
        )
    )
    rows: list[dict[str, Any]] = [{"id": 0, "metadata": {"wav_name": "a/talk.wav"}}]
    rows += [
        {
            "id": 0,
            "total_audio_processed": step.audio_ms / 1000,
            "computation_time": spent_s[step.audio_ms] / 1000,
            "generated_tokens": list(step.pieces),
            "deleted_tokens": [],
        }
        for step in steps
    ]
    (entry,) = read_log(write_simulstream(tmp_path / "log.jsonl", rows), case["unit"]).entries
    segment = Segment(
        recording="talk", offset_ms=0, duration_ms=case["source_length"], reference=case["reference"]
    )
    assert_simulstream(entry.trace, [segment], theirs, case["unit"])


def assert_simulstream(
    trace: StreamTrace, segments: list[Segment], theirs: dict[str, Any], unit: Unit
) -> None:
    output = timed_output(trace, None, unit, simulstream_clock)
    assert trace.text == theirs["final_text"]
    assert [delay / 1000 for delay in output.delays_ms] == pytest.approx(theirs["ideal_delays_s"], abs=1e-9)
    assert output.aware_ms is not None
    assert [time / 1000 for time in output.aware_ms] == pytest.approx(theirs["ca_delays_s"], abs=1e-9)
    cuts = cut_recording(output, segments, alignment="mwer")
    ours = mean_scores([simulstream_scores(cut) for cut in cuts]) | simulstream_effort([trace], unit)
    ours["sentence_level_laal_s"] = (
        mean_scores(
            [{"laal": length_adaptive_lagging(c.delays_ms, c.source_ms, c.reference_units)} for c in cuts]
        )["laal"]
        / 1000
    )
    ours["deleted_tokens"] = sum(step.erased for step in trace.steps)
    names = [name for name in theirs if name in ours]
    assert len(names) >= 5
    assert_equal(ours, theirs, names, 1e-6)


def test_flicker_is_reproduced(tmp_path: Path) -> None:
    case = GOLDEN["flicker"]
    log = read_log(write_simulstream(tmp_path / "log.jsonl", case["simulstream_jsonl"]), "word")
    assert log.findings == ()
    segment = Segment(
        recording="r", offset_ms=0, duration_ms=case["source_length_ms"], reference=case["reference"]
    )
    assert_simulstream(log.entries[0].trace, [segment], case["expected"]["simulstream@1.0.0"], "word")


@pytest.fixture
def segments(tmp_path: Path) -> list[Segment]:
    path = tmp_path / "talks.yaml"
    path.write_text(LONG["segmentation_yaml"], encoding="utf-8")
    return read_segments(path, LONG["references"])


def resegmented(segments: list[Segment], clock: Any, *, ends: bool = True) -> list[TimedOutput]:
    """The two talks cut as OmniSTEval does: a recording ends with its last reference segment."""
    cuts: list[TimedOutput] = []
    groups = by_recording(segments).values()
    for value, group in zip(LONG["hypotheses"], groups, strict=True):
        output = timed_output(instance(value, value["index"]).to_trace(), None, "word", clock)
        end = group[-1].end_ms if ends else math.inf
        cuts += cut_recording(output, group, alignment="soft", recording_end_ms=end)
    return cuts


def test_omnistevals_segments_and_their_times_are_reproduced(segments: list[Segment]) -> None:
    cuts = resegmented(segments, simuleval_clock)
    theirs = LONG["expected"]["omnisteval@0.1.10"]["resegmented"]
    assert [cut.text for cut in cuts] == [segment["prediction"] for segment in theirs]
    for cut, segment in zip(cuts, theirs, strict=True):
        assert cut.source_ms == pytest.approx(segment["source_length"], abs=1e-6)
        assert cut.delays_ms == pytest.approx(segment["emission_cu"], abs=1e-6)
        assert cut.aware_ms == pytest.approx(segment["emission_ca"], abs=1e-6)
        assert cut.recording_end_ms == pytest.approx(segment["time_to_recording_end"], abs=1e-6)


def test_omnistevals_long_form_scores_are_reproduced(segments: list[Segment]) -> None:
    theirs = LONG["expected"]["omnisteval@0.1.10"]
    cuts = resegmented(segments, simuleval_clock)
    quality = report_quality([cut.text for cut in cuts], [[text] for text in LONG["references"]], lang="en")
    assert quality.bleu == pytest.approx(theirs["scores_ms"]["BLEU"], abs=0.005)
    assert quality.chrf == pytest.approx(theirs["scores_ms"]["chrF"], abs=PRINTED)
    ours = mean_scores([omnisteval_long_scores(cut) for cut in cuts])
    assert_equal(ours, theirs["scores_ms"], list(ours), PRINTED)


def test_omnistevals_fixed_clock_and_its_reload_are_reproduced(segments: list[Segment]) -> None:
    theirs = LONG["expected"]["omnisteval@0.1.10"]
    fixed = mean_scores([omnisteval_long_scores(c) for c in resegmented(segments, omnisteval_clock)])
    expected = theirs["with --fix_simuleval_emission_ca"]
    assert_equal(fixed, expected, list(expected), PRINTED)
    (expected,) = [value for key, value in theirs.items() if key.startswith("reloaded")]
    reloaded = resegmented(segments, simuleval_clock, ends=False)
    assert_equal(
        mean_scores([omnisteval_long_scores(c) for c in reloaded]), expected, list(expected), PRINTED
    )


def test_simulstreams_long_form_scores_are_reproduced(segments: list[Segment], tmp_path: Path) -> None:
    theirs = LONG["expected"]["simulstream@1.0.0"]
    log = read_log(write_simulstream(tmp_path / "log.jsonl", LONG["simulstream_jsonl"]), "word")
    assert log.findings == ()
    cuts: list[TimedOutput] = []
    for entry in log.entries:
        output = timed_output(entry.trace, None, "word", simulstream_clock)
        cuts += cut_recording(output, by_recording(segments)[entry.recording], alignment="mwer")
    traces = [entry.trace for entry in log.entries]
    ours = mean_scores([simulstream_scores(cut) for cut in cuts]) | simulstream_effort(traces, "word")
    assert_equal(ours, theirs, list(theirs), 1e-6)


def test_the_four_clocks_part_where_compute_is_slower_than_audio() -> None:
    slow, fast = next(d for d in GOLDEN["disagreements"] if d["id"] == "D2")["evidence"]
    case = next(case for case in GOLDEN["cases"] if case["id"] == "w11_slow_compute")
    clocks = {
        "simuleval_elapsed": simuleval_clock,
        "simulstream_ca": simulstream_clock,
        "omnisteval_fix_simuleval_emission_ca": omnisteval_clock,
        "single_server_queue (reference clock, ours)": queue_clock,
    }
    trace = instance(case).to_trace()
    for name, clock in clocks.items():
        assert clock(trace.steps) == pytest.approx(slow[name], abs=1e-6)
        laal = utterance_scores(timed_output(trace, case["reference"], "word", clock))["LAAL_CA"]
        assert laal == pytest.approx(slow["LAAL_CA_ms"][name], abs=1e-6)
    elapsed = [d + 300.0 * (i // 2 + 1) for i, d in enumerate(case["delays"])]
    quick = instance(case | {"elapsed": elapsed}).to_trace()
    for name in fast["LAAL_CA_ms"]:
        assert clocks[name](quick.steps) == pytest.approx(fast[name], abs=1e-6)
        laal = utterance_scores(timed_output(quick, case["reference"], "word", clocks[name]))["LAAL_CA"]
        assert laal == pytest.approx(fast["LAAL_CA_ms"][name], abs=1e-6)


@CASES
def test_our_own_scores_differ_from_simulevals_only_where_docs_say_so(case: dict[str, Any]) -> None:
    theirs = case["expected"]["simuleval@1.1.4"]
    ours = utterance_scores(
        timed_output(instance(case).to_trace(), case["reference"], case["unit"], queue_clock)
    )
    real = len(split_units(case["reference"], case["unit"]))
    same = ["DAL", "ATD", "ATD_CA", "StartOffset", "StartOffset_CA", "EndOffset"]
    if real == len(case["reference"].split(" ")) or case["unit"] == "char":
        same += ["AL", "LAAL"]
    assert_equal(ours, theirs, same, 1e-6)
    assert ours["AP"] == pytest.approx(theirs["AP_no_ref_len"], abs=1e-6)
