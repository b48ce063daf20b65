"""DAL, AP, ATD, YAAL, offsets, effort and clocks against their definitions and what these imply."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.latency import (
    average_proportion,
    average_token_delay,
    differentiable_average_lagging,
    lag_percentiles,
    length_adaptive_lagging,
    long_yaal,
    normalized_erasure,
    num_chunks,
    queue_clock,
    real_time_factor,
    start_offset,
    unit_lags,
    yaal,
)
from evaluate.latency.clocks import unit_times
from evaluate.latency.compat.clocks import omnisteval_clock, simuleval_clock, simulstream_clock
from evaluate.latency.scores import (
    mean_scores,
    penalised_scores,
    pooled_effort,
    pooled_lags,
    utterance_scores,
)
from evaluate.latency.timed import TimedOutput, timed_output
from evaluate.trace import Emission, Step, StreamTrace
from evaluate.units import align_pieces

SOURCE_MS = 6000.0
delays_lists = st.lists(st.integers(0, 9000).map(float), min_size=1, max_size=15).map(sorted)
steps_lists = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 5000)), min_size=1, max_size=12).map(
    lambda pairs: [
        Step(audio_ms=float(a), token_ids=(), compute_s=c / 1000)
        for (a, c) in zip(sorted(a for a, _ in pairs), (c for _, c in pairs), strict=True)
    ]
)


def step(audio_ms: float, compute_s: float | None = None, *pieces: str, erased: int = 0) -> Step:
    return Step(audio_ms=audio_ms, token_ids=(), compute_s=compute_s, pieces=pieces, erased=erased)


def output(delays_ms: list[float], reference: str = "a b c", **changes: object) -> TimedOutput:
    values: dict[str, object] = {
        "id": "u", "source_ms": SOURCE_MS, "unit": "word", "text": "x " * len(delays_ms),
        "delays_ms": tuple(delays_ms), "aware_ms": None, "reference": reference,
    }  # fmt: skip
    return TimedOutput(**{**values, **changes})  # type: ignore[arg-type]


@settings(deadline=None, max_examples=100)
@given(delays=delays_lists)
def test_dal_is_at_least_the_mean_lag_without_the_cost_of_saying(delays: list[float]) -> None:
    dal = differentiable_average_lagging(delays, SOURCE_MS)
    lags = unit_lags(delays, SOURCE_MS, 0)
    assert dal >= math.fsum(lags) / len(lags) - 1e-6
    assert dal >= delays[0] - 1e-6


def test_dal_charges_a_burst_for_every_unit_it_takes_to_say() -> None:
    assert differentiable_average_lagging([1000, 1000, 1000], 3000) == 1000.0
    assert differentiable_average_lagging([1000, 2000, 3000], 3000) == 1000.0


@settings(deadline=None, max_examples=100)
@given(delays=delays_lists)
def test_ap_of_delays_within_the_audio_is_a_share_of_it(delays: list[float]) -> None:
    assert 0 <= average_proportion([min(delay, SOURCE_MS) for delay in delays], SOURCE_MS) <= 1


def test_atd_sets_each_unit_against_its_own_300_ms_of_source() -> None:
    assert average_token_delay([600.0, 600.0]) == (600 - 300 + 600 - 600) / 2
    assert average_token_delay([300.0, 600.0, 900.0]) == 0.0


def test_atd_of_output_longer_than_the_source_so_far_pairs_the_rest_with_its_last_token() -> None:
    assert average_token_delay([300.0] * 4) == 0.0
    # Two units too many in chunk 1: in chunk 2 unit 4 stands for token 2, not for token 4.
    assert average_token_delay([300.0, 300.0, 300.0, 1500.0]) == (1500 - 600) / 4


@settings(deadline=None, max_examples=100)
@given(delays=delays_lists, spent=st.integers(0, 3000))
def test_atd_grows_by_what_computing_adds(delays: list[float], spent: int) -> None:
    aware = [delay + spent for delay in delays]
    assert average_token_delay(delays, aware) - average_token_delay(delays) == pytest.approx(spent)


@settings(deadline=None, max_examples=100)
@given(delays=delays_lists, reference=st.integers(0, 20))
def test_yaal_counts_only_units_written_before_the_audio_ended(delays: list[float], reference: int) -> None:
    score = yaal(delays, SOURCE_MS, reference)
    early = [delay for delay in delays if delay < SOURCE_MS]
    lags = unit_lags(delays, SOURCE_MS, reference)[: len(early)]
    assert score == pytest.approx(sum(lags) / len(lags) if lags else math.nan, nan_ok=True)


def test_yaal_of_an_offline_system_does_not_exist_while_its_laal_is_the_audio() -> None:
    assert math.isnan(yaal([SOURCE_MS] * 3, SOURCE_MS, 3))
    assert length_adaptive_lagging([SOURCE_MS] * 3, SOURCE_MS, 3) == SOURCE_MS


def test_long_yaal_counts_units_after_their_segment_but_not_after_the_recording() -> None:
    delays = [5000.0, 7000.0, 9000.0]
    assert long_yaal(delays, SOURCE_MS, 3) == 5000.0
    assert long_yaal(delays, SOURCE_MS, 3, 9000.0) == 5000.0
    assert long_yaal(delays, SOURCE_MS, 3, 7000.0) == 5000.0
    assert math.isnan(long_yaal(delays, SOURCE_MS, 3, 5000.0))


def test_negative_delays_are_legal_as_resegmentation_makes_them() -> None:
    early = [-500.0, 1000.0]
    assert start_offset(early) == -500.0
    assert length_adaptive_lagging(early, 2000.0, 2) == (-500 + 0) / 2
    assert average_token_delay(early) == (-500 - 0 + 1000 - 300) / 2


@pytest.mark.parametrize("metric", [differentiable_average_lagging, average_proportion])
def test_time_that_runs_backwards_is_refused(metric: object) -> None:
    with pytest.raises(ValueError, match=r"2000.* and then 1000"):
        metric([2000.0, 1000.0], 3000.0)  # type: ignore[operator]
    with pytest.raises(ValueError, match="must be positive"):
        metric([2000.0], 0.0)  # type: ignore[operator]


def test_nothing_written_has_no_latency_in_any_metric() -> None:
    scores = utterance_scores(output([]))
    assert scores
    assert all(math.isnan(value) for value in scores.values())


def test_percentiles_of_lags_are_those_of_single_units() -> None:
    assert lag_percentiles([float(i) for i in range(101)]) == {"lag_p50": 50, "lag_p90": 90, "lag_p99": 99}
    pooled = pooled_lags([output([1000.0] * 3), output([4000.0] * 3)])
    assert pooled["lag_p50"] == pytest.approx((1000 - 4000 + 4000) / 2)
    assert math.isnan(pooled["lag_p50_CA"])


def test_num_chunks_counts_writes_not_words() -> None:
    assert num_chunks([step(500.0), step(1000.0, None, "a", "b"), step(2000.0, None, "c")]) == 2
    assert num_chunks([Step(audio_ms=1.0, token_ids=(4, 5, 6))]) == 1


def test_rtf_counts_silent_steps_and_is_unknown_when_one_is() -> None:
    assert real_time_factor([step(1000.0, 0.25), step(2000.0, 0.25, "a")], 2000.0) == 0.25
    assert math.isnan(real_time_factor([step(1000.0, 0.25), step(2000.0)], 2000.0))


def test_erasure_is_the_units_taken_back_per_unit_that_stayed() -> None:
    steps = (step(1.0, None, "\u2581gut", "\u2581Mor", "gen"), step(2.0, None, "\u2581Tag", erased=2))
    text, emissions = align_pieces(steps, "word")
    trace = StreamTrace(
        id="u", chunk_ms=None, source_ms=2.0, text=text, emissions=emissions, steps=steps
    )  # fmt: skip
    assert text == "gut Tag"
    assert normalized_erasure([trace], "word") == 0.5


def test_the_queue_delays_every_step_behind_a_slow_one_and_catches_up_while_it_waits() -> None:
    steps = [step(1000.0, 1.5, "a"), step(2000.0, 0.1), step(3000.0, 0.1, "b"), step(9000.0, 0.1, "c")]
    assert queue_clock(steps) == pytest.approx([2500.0, 2600.0, 3100.0, 9100.0])
    assert simulstream_clock(steps) == pytest.approx([2500.0, 2100.0, 3100.0, 9100.0])
    assert omnisteval_clock(steps) == pytest.approx([2500.0, 2500.0, 3100.0, 9100.0])
    assert simuleval_clock(steps) == pytest.approx([2500.0, 3600.0, 4700.0, 10800.0])


@settings(deadline=None, max_examples=100)
@given(steps=steps_lists)
def test_the_queue_lies_between_the_legacy_clocks_and_never_runs_backwards(steps: list[Step]) -> None:
    queue = queue_clock(steps)
    assert all(before <= after for before, after in pairwise(queue))
    for late, ours, early in zip(simuleval_clock(steps), queue, omnisteval_clock(steps), strict=True):
        assert early - 1e-6 <= ours <= late + 1e-6


def test_units_take_the_time_of_the_step_that_completed_them_silent_steps_included() -> None:
    trace = StreamTrace(
        id="u", chunk_ms=1000, source_ms=3000.0, text="a b",
        steps=(
            Step(audio_ms=1000.0, token_ids=(), compute_s=2.0),
            Step(audio_ms=2000.0, token_ids=(1,), compute_s=0.5),
            Step(audio_ms=3000.0, token_ids=(2,), compute_s=0.5),
        ),
        emissions=(Emission(unit="a", delay_ms=2000.0), Emission(unit="b", delay_ms=3000.0)),
    )  # fmt: skip
    assert unit_times(trace, queue_clock) == (3500.0, 4000.0)


def test_unaware_scores_do_not_change_with_compute() -> None:
    def trace(compute_s: float) -> StreamTrace:
        return StreamTrace(
            id="u", chunk_ms=None, source_ms=2000.0, text="a", steps=(step(1000.0, compute_s, "a"),),
            emissions=(Emission(unit="a", delay_ms=1000.0, step=0),),
        )  # fmt: skip

    slow, fast = (utterance_scores(timed_output(trace(s), "a", "word", queue_clock)) for s in (5.0, 0.1))
    assert slow["LAAL"] == fast["LAAL"] == 1000.0
    assert (slow["LAAL_CA"], fast["LAAL_CA"]) == (6000.0, 1100.0)


def test_compute_that_is_not_known_leaves_the_aware_scores_empty() -> None:
    trace = StreamTrace(
        id="u", chunk_ms=None, source_ms=2000.0, text="a", steps=(step(1000.0, None, "a"),),
        emissions=(Emission(unit="a", delay_ms=1000.0, step=0),),
    )  # fmt: skip
    scores = utterance_scores(timed_output(trace, "a", "word", queue_clock))
    assert scores["LAAL"] == 1000.0
    assert math.isnan(scores["LAAL_CA"])


def test_an_omitted_output_costs_all_of_its_audio_in_the_penalised_mean_only() -> None:
    outputs = [output([1000.0]), output([]), output([], reference="")]
    rows = [utterance_scores(o) for o in outputs]
    assert mean_scores(rows)["LAAL"] == 1000.0
    penalised = penalised_scores(outputs, rows)
    assert penalised["LAAL"] == (1000 + SOURCE_MS) / 2  # nothing said about nothing costs nothing
    assert "LAAL_CA" not in penalised


def test_rtf_of_a_corpus_is_all_compute_over_all_audio() -> None:
    traces = [
        StreamTrace(id=str(i), chunk_ms=None, source_ms=ms, text="", emissions=(), steps=(step(ms, s),))
        for i, (ms, s) in enumerate([(1000.0, 1.0), (9000.0, 1.0)])
    ]
    assert pooled_effort(traces, "word")["RTF"] == 0.2


def test_audio_that_was_never_streamed_to_its_end_is_not_in_rtf() -> None:
    done = StreamTrace(
        id="a", chunk_ms=None, source_ms=1000.0, text="", emissions=(), steps=(step(1000.0, 1.0),)
    )
    refused = replace(done, id="b", source_ms=9000.0, steps=(), failure="longer_than_window: 9.00 s")
    assert pooled_effort([done, refused], "word")["RTF"] == 1.0
    assert math.isnan(pooled_effort([refused], "word")["RTF"])
