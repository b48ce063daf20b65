"""Intervals around points and curves, the Pareto front, and comparisons on both axes, on invented systems."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.config import EvaluateConfig
from evaluate.curves import Hypothesis, bleu_at, score_hypotheses
from evaluate.report.spread import measure_spread, pareto_front
from tests.evaluate.synthetic import invent_curve, invent_utterances

CONFIG = EvaluateConfig(bootstrap_resamples=200)
UTTERANCES = invent_utterances(120)
BASE = invent_curve(UTTERANCES, [(-200, 0.5), (300, 0.6), (800, 0.7), (1300, 0.8)], seed=1)
BETTER = invent_curve(UTTERANCES, [(-300, 0.9), (200, 0.92), (700, 0.95)], seed=9)


def test_every_point_lies_in_its_intervals_and_a_confident_one_is_wider() -> None:
    spread = measure_spread({"base": BASE, "simulsa": BETTER}, CONFIG)
    wider = measure_spread({"base": BASE, "simulsa": BETTER}, CONFIG.model_copy(update={"confidence": 0.99}))
    for scored, around, more in zip(BASE, spread.points["base"], wider.points["base"], strict=True):
        assert around.bleu.low < scored.point.bleu < around.bleu.high
        assert around.laal_ms.low <= scored.point.laal_ms <= around.laal_ms.high
        assert more.bleu.high - more.bleu.low > around.bleu.high - around.bleu.low


def test_a_band_says_the_quality_at_fixed_latencies_as_the_curve_is_interpolated() -> None:
    band = measure_spread({"base": BASE, "simulsa": BETTER}, CONFIG).bands["base"]
    laal_ms = np.array([scored.point.laal_ms for scored in BASE])
    bleu = np.array([scored.point.bleu for scored in BASE])
    assert band.laal_ms[0] >= laal_ms.min()
    assert band.laal_ms[-1] <= laal_ms.max()
    assert len(band.laal_ms) > 10
    assert band.bleu == pytest.approx(bleu_at(laal_ms, bleu, np.array(band.laal_ms)).tolist())
    assert all(low < value < high for value, low, high in zip(band.bleu, band.low, band.high, strict=True))


def test_one_streamed_point_is_no_curve_and_has_no_band() -> None:
    spread = measure_spread({"base": BASE[:1], "simulsa": BETTER}, CONFIG)
    assert set(spread.bands) == {"simulsa"}
    assert len(spread.points["base"]) == 1


def test_a_system_that_beats_another_everywhere_keeps_it_off_the_front() -> None:
    points = measure_spread({"base": BASE, "simulsa": BETTER}, CONFIG).points
    assert [point.on_front for point in points["base"]] == [False] * 4
    assert [point.on_front for point in points["simulsa"]] == [True] * 3
    assert max(point.front_share for point in points["base"]) < 0.05
    assert points["simulsa"][0].front_share == 1.0


def test_whole_utterances_neither_beat_a_streamed_point_nor_stand_on_the_front() -> None:
    whole = invent_curve(UTTERANCES, [(-400, 0.99)], seed=3)
    object.__setattr__(whole[0].point, "chunk_ms", None)
    points = measure_spread({"base": [*BASE, *whole], "simulsa": BETTER}, CONFIG).points
    assert not points["base"][-1].on_front
    assert points["simulsa"][0].on_front


def test_a_gain_at_the_same_chunk_size_is_told_on_both_axes() -> None:
    [same, *_] = measure_spread({"base": BASE, "simulsa": BETTER}, CONFIG).same_chunk
    assert (same.chunk_ms, same.rival) == (320, "base")
    assert same.bleu.low > 0
    assert same.laal_ms.diff == pytest.approx(-100)
    assert same.both == 1.0


def test_more_quality_that_comes_later_is_not_better_in_both() -> None:
    slow = invent_curve(UTTERANCES, [(100, 0.9), (600, 0.92)], seed=9)
    [same, _] = measure_spread({"base": BASE[:2], "simulsa": slow}, CONFIG).same_chunk
    assert same.bleu.low > 0
    assert same.laal_ms.low > 0
    assert same.both == 0.0


def test_silence_has_no_latency_and_is_compared_with_nothing() -> None:
    mute = score_hypotheses(
        [Hypothesis(text="", delays_ms=())] * len(UTTERANCES),
        UTTERANCES, tgt_lang="de", unit="word", chunk_ms=320,
    )  # fmt: skip
    spread = measure_spread({"base": [mute], "simulsa": BETTER}, CONFIG)
    assert spread.same_chunk == ()
    assert np.isnan(spread.points["base"][0].laal_ms.low)
    assert spread.points["base"][0].front_share == 0.0


POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=200)
@given(POINTS)
def test_the_front_is_what_no_point_beats(points: list[tuple[int, int]]) -> None:
    laal_ms, bleu = np.array(points, dtype=float).T
    expected = [not any(x <= a and y >= b and (x, y) != (a, b) for x, y in points) for a, b in points]
    assert pareto_front(laal_ms, bleu).tolist() == expected
