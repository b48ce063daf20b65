"""Comparison at equal latency, on invented systems whose difference is known."""

import numpy as np
import pytest

from evaluate.config import EvaluateConfig
from evaluate.curves import Hypothesis, score_hypotheses
from evaluate.significance import EqualLatency, _resampled_scores, compare_at_equal_latency
from tests.evaluate.scripted import spoken
from tests.evaluate.synthetic import invent_curve, invent_utterances

CONFIG = EvaluateConfig(bootstrap_resamples=200)
UTTERANCES = invent_utterances(120)
BASE = invent_curve(UTTERANCES, [(-200, 0.5), (300, 0.6), (800, 0.7), (1300, 0.8)], seed=1)


def test_a_better_system_leads_with_an_interval_above_zero_and_the_control_decides_nothing() -> None:
    control = invent_curve(UTTERANCES, [(-200, 0.5), (300, 0.6), (800, 0.7), (1300, 0.8)], seed=50)
    better = invent_curve(UTTERANCES, [(100, 0.8), (600, 0.85), (1000, 0.95)], seed=99)
    results = compare_at_equal_latency({"base": BASE, "control": control, "simulsa": better}, CONFIG)
    assert len(results) >= 4
    assert all(result.differences["simulsa_minus_base"].low > 5 for result in results)
    rival = compare_at_equal_latency({"base": BASE, "simulsa": control}, CONFIG)
    assert all(
        result.differences["simulsa_minus_base"].low < 0 < result.differences["simulsa_minus_base"].high
        for result in rival
    )


def test_a_worse_system_at_the_same_latency_is_said_to_be_behind() -> None:
    worse = invent_curve(UTTERANCES, [(-100, 0.3), (900, 0.3)], seed=7)
    results = compare_at_equal_latency({"base": BASE, "simulsa": worse}, CONFIG)
    assert results
    assert all(result.differences["simulsa_minus_base"].high < 0 for result in results)


def test_a_system_compared_with_itself_differs_by_exactly_nothing() -> None:
    [first, *_] = compare_at_equal_latency({"base": BASE, "simulsa": BASE}, CONFIG)
    difference = first.differences["simulsa_minus_base"]
    assert (difference.diff, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_the_difference_is_that_of_the_interpolated_curves() -> None:
    other = invent_curve(UTTERANCES, [(0, 0.9), (1000, 0.9)], seed=11)
    config = EvaluateConfig(bootstrap_resamples=50, laal_points=(500.0,))
    [result] = compare_at_equal_latency({"base": BASE, "simulsa": other}, config)
    laal = [scored.point.laal_ms for scored in BASE]
    expected = float(np.interp(500.0, laal, [scored.point.bleu for scored in BASE]))
    assert result.bleu["base"] == pytest.approx(expected)
    assert result.differences["simulsa_minus_base"].diff == pytest.approx(result.bleu["simulsa"] - expected)


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others() -> None:
    other = invent_curve(UTTERANCES, [(0, 0.6), (1000, 0.7)], seed=11)
    curves = {"base": BASE, "simulsa": other}
    once, again = (compare_at_equal_latency(curves, CONFIG) for _ in range(2))
    reseeded = compare_at_equal_latency(curves, CONFIG.model_copy(update={"bootstrap_seed": 1}))
    assert [result.to_json() for result in once] == [result.to_json() for result in again]
    assert [result.to_json() for result in once] != [result.to_json() for result in reseeded]


def test_curves_that_share_no_latency_are_not_compared() -> None:
    slow = invent_curve(UTTERANCES, [(1600, 0.9), (2000, 0.9)], seed=3)
    assert compare_at_equal_latency({"base": BASE, "simulsa": slow}, CONFIG) == []


def test_a_system_that_says_nothing_is_not_compared() -> None:
    mute = [
        score_hypotheses(
            [Hypothesis(text="", delays_ms=())] * len(UTTERANCES),
            UTTERANCES,
            tgt_lang="de",
            unit="word",
            chunk_ms=320,
        )
    ]
    assert compare_at_equal_latency({"base": BASE, "simulsa": mute}, CONFIG) == []


def test_a_latency_that_many_resamples_do_not_reach_is_not_reported() -> None:
    utterances = [spoken(f"u{i}", 4000, "eins zwei drei vier") for i in range(20)]

    def point(delays: list[float], chunk_ms: int):  # type: ignore[no-untyped-def]
        hypotheses = [Hypothesis(text="eins zwei drei vier", delays_ms=(d,) * 4) for d in delays]
        return score_hypotheses(hypotheses, utterances, tgt_lang="de", unit="word", chunk_ms=chunk_ms)

    uneven = [0.0] * 10 + [3000.0] * 10
    curve = [point(uneven, 320), point([3900.0] * 20, 640)]
    edge = float(curve[0].point.laal_ms)
    config = EvaluateConfig(bootstrap_resamples=200, laal_points=(edge, 1500.0))
    results = compare_at_equal_latency({"base": curve, "simulsa": curve}, config)
    assert [result.laal_ms for result in results] == [1500.0]


def test_points_far_beyond_streaming_do_not_stretch_the_grid() -> None:
    with_whole = [*BASE, *invent_curve(UTTERANCES, [(2400, 0.99)], seed=5)]
    whole = with_whole[-1]
    object.__setattr__(whole.point, "chunk_ms", None)
    results = compare_at_equal_latency({"base": with_whole, "simulsa": with_whole}, CONFIG)
    assert max(result.laal_ms for result in results) <= BASE[-1].point.laal_ms
    assert len(results) >= 5


def test_a_resample_scores_like_the_corpus_it_stands_for() -> None:
    utterances = UTTERANCES[:6]
    texts = ["falsch " + utterance.references[0] for utterance in utterances[:5]] + [""]
    hypotheses = [
        Hypothesis(text=text, delays_ms=tuple(100.0 * i for i in range(len(text.split())))) for text in texts
    ]
    scored = score_hypotheses(hypotheses, utterances, tgt_lang="de", unit="word")
    drawn = [0, 0, 2, 3, 5, 5]
    weights = np.bincount(drawn, minlength=6)[None].astype(float)
    laal_ms, bleu = _resampled_scores([scored], weights)
    explicit = score_hypotheses(
        [hypotheses[i] for i in drawn], [utterances[i] for i in drawn], tgt_lang="de", unit="word"
    )
    assert bleu[0, 0] == pytest.approx(explicit.point.bleu)
    assert laal_ms[0, 0] == pytest.approx(explicit.point.laal_ms)


def test_points_of_different_test_sets_are_refused() -> None:
    other = invent_curve(UTTERANCES[:50], [(0, 0.5), (900, 0.6)], seed=1)
    with pytest.raises(ValueError, match="same utterances"):
        compare_at_equal_latency({"base": BASE, "simulsa": other}, CONFIG)


def test_the_json_of_a_comparison_names_each_difference() -> None:
    [first, *_] = compare_at_equal_latency({"base": BASE, "simulsa": BASE}, CONFIG)
    assert set(first.to_json()) == {"laal_ms", "bleu", "simulsa_minus_base", "resamples_outside"}
    assert set(first.to_json()["simulsa_minus_base"]) == {"diff", "low", "high"}
    assert EqualLatency.from_json(first.to_json()) == first
