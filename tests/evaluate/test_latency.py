"""AL and LAAL against published values and against what their definitions imply."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.latency import average_lagging, length_adaptive_lagging, report_latency
from evaluate.units import split_units

GOLDEN = json.loads((Path(__file__).parent / "data" / "simuleval_latency.json").read_text(encoding="utf-8"))
delays_lists = st.lists(st.floats(0, 9000), min_size=1, max_size=20).map(sorted)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["id"])
def test_al_and_laal_equal_simuleval(case: dict[str, Any]) -> None:
    length = case["reference_length"]
    assert average_lagging(case["delays"], case["source_length"], length) == pytest.approx(
        case["AL"], abs=1e-6
    )
    laal = length_adaptive_lagging(case["delays"], case["source_length"], length)
    assert laal == pytest.approx(case["LAAL"], abs=1e-6)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["id"])
def test_reference_units_are_those_simuleval_counts_but_for_its_empty_words(case: dict[str, Any]) -> None:
    units = len(split_units(case["reference"], case["unit"]))
    assert units == case["reference_length"] - case["empty_words_counted"]


@settings(deadline=None, max_examples=100)
@given(delays=delays_lists, source_ms=st.floats(1, 9000), reference=st.integers(0, 30))
def test_laal_equals_al_unless_the_hypothesis_is_longer_and_is_never_below(
    delays: list[float], source_ms: float, reference: int
) -> None:
    al = average_lagging(delays, source_ms, reference)
    laal = length_adaptive_lagging(delays, source_ms, reference)
    assert laal >= al - 1e-6
    if len(delays) <= reference:
        assert laal == al


@settings(deadline=None, max_examples=100)
@given(delays=delays_lists, extra=st.integers(1, 20), reference=st.integers(1, 10))
def test_laal_without_the_cutoff_shifts_with_the_delays(
    delays: list[float], extra: int, reference: int
) -> None:
    source_ms = 20_000.0
    later = [delay + 100 * extra for delay in delays]
    before, after = (length_adaptive_lagging(d, source_ms, reference) for d in (delays, later))
    assert after - before == pytest.approx(100 * extra)


@settings(deadline=None, max_examples=100)
@given(units=st.integers(1, 40), source_ms=st.floats(1, 60_000), reference=st.integers(0, 40))
def test_an_offline_system_lags_by_the_whole_audio(units: int, source_ms: float, reference: int) -> None:
    assert length_adaptive_lagging([source_ms] * units, source_ms, reference) == source_ms


@settings(deadline=None, max_examples=100)
@given(delays=delays_lists, tail=st.lists(st.floats(0, 5000), max_size=5), reference=st.integers(30, 40))
def test_units_after_the_first_that_heard_everything_do_not_count(
    delays: list[float], tail: list[float], reference: int
) -> None:
    heard_all = [*delays, 9000.0]
    longer = [*heard_all, *sorted(9000 + t for t in tail)]
    assert average_lagging(longer, 9000, reference) == average_lagging(heard_all, 9000, reference)


def test_a_hypothesis_without_words_has_no_latency() -> None:
    assert math.isnan(length_adaptive_lagging([], 3000, 5))
    assert math.isnan(average_lagging([], 0, 0))


def test_decreasing_delays_are_refused_with_both_values() -> None:
    with pytest.raises(ValueError, match=r"2000.* and then 1000"):
        average_lagging([2000, 1000], 3000, 2)


def test_a_corpus_mean_leaves_empties_out_and_counts_them_beside() -> None:
    report = report_latency([[1000.0], [], [3000.0]], [3000.0, 5000.0, 3000.0], [1, 4, 1])
    assert (report.al_ms, report.laal_ms, report.n_empty) == (2000.0, 2000.0, 1)
    assert report.laal_penalised_ms == (1000 + 5000 + 3000) / 3


def test_a_corpus_of_empties_has_no_mean() -> None:
    report = report_latency([[], []], [3000.0, 5000.0], [1, 4])
    assert math.isnan(report.laal_ms)
    assert (report.n_empty, report.laal_penalised_ms) == (2, 4000.0)
