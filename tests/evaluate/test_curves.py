"""Points of curves from traces, and BLEU between them."""

import math

import numpy as np
import pytest

from evaluate.curves import CurvePoint, Hypothesis, bleu_at, score_hypotheses, score_traces
from evaluate.trace import Emission, Step, StreamTrace
from tests.evaluate.scripted import spoken

LAAL = np.array([100.0, 300.0, 700.0])
BLEU = np.array([10.0, 20.0, 60.0])


def test_bleu_is_interpolated_between_neighbours_and_exact_at_points() -> None:
    at = bleu_at(LAAL, BLEU, np.array([100.0, 200.0, 300.0, 500.0, 700.0]))
    assert at.tolist() == [10.0, 15.0, 20.0, 40.0, 60.0]


def test_outside_its_points_a_curve_has_no_bleu() -> None:
    assert np.isnan(bleu_at(LAAL, BLEU, np.array([99.0, 701.0]))).all()


def test_points_are_ordered_by_latency_whatever_their_chunks() -> None:
    order = [2, 0, 1]
    assert bleu_at(LAAL[order], BLEU[order], np.array([200.0]))[0] == 15.0


def test_a_curve_that_falls_is_interpolated_as_measured() -> None:
    assert bleu_at(LAAL, np.array([10.0, 30.0, 20.0]), np.array([500.0]))[0] == 25.0


def test_two_points_at_one_latency_count_as_their_mean() -> None:
    assert bleu_at(np.array([100.0, 100.0, 200.0]), BLEU, np.array([100.0]))[0] == 15.0


def test_a_point_without_latency_is_left_out() -> None:
    at = bleu_at(np.array([100.0, math.nan, 700.0]), BLEU, np.array([400.0]))
    assert at[0] == 35.0
    assert np.isnan(bleu_at(np.array([math.nan]), np.array([0.0]), np.array([400.0]))).all()


def trace(
    id_: str, text: str, delays: list[float], *, capped: bool = False, failure: str | None = None
) -> StreamTrace:
    emissions = tuple(Emission(unit=u, delay_ms=d) for u, d in zip(text.split(), delays, strict=True))
    steps = (Step(audio_ms=1000.0, token_ids=(1,), capped=capped),)
    return StreamTrace(
        id=id_, chunk_ms=640, source_ms=2000.0, text=text, emissions=emissions, steps=steps, failure=failure
    )


def test_a_point_counts_empties_failures_and_caps_and_its_json_holds_no_nan() -> None:
    utterances = [spoken("a", 2000, "das ist ein Test"), spoken("b", 2000, "ja"), spoken("c", 2000, "nein")]
    traces = [
        trace("a", "das ist ein Test", [1000, 1000, 2000, 2000], capped=True),
        trace("b", "", []),
        trace("c", "", [], failure="engine_error: x"),
    ]
    scored = score_traces(traces, utterances, tgt_lang="de", unit="word")
    point = scored.point
    assert (point.n_utterances, point.n_empty, point.n_failed, point.cap_hits) == (3, 2, 1, 1)
    assert point.laal_ms == pytest.approx(((1000) + (1000 - 500) + (2000 - 1000)) / 3)
    assert np.isnan(scored.laal_ms).tolist() == [False, True, True]
    assert point.to_json()["chunk_ms"] == 640

    silent = score_traces([trace("a", "", [])], utterances[:1], tgt_lang="de", unit="word").point
    assert silent.to_json()["laal_ms"] is None
    assert math.isnan(CurvePoint.from_json(silent.to_json()).laal_ms)
    assert CurvePoint.from_json(point.to_json()) == point
    assert silent.bleu == 0.0


def test_a_point_uses_all_references_for_bleu_and_the_first_for_length() -> None:
    utterance = spoken("a", 2000, "eins zwei", "das sind heute vier Wörter ja")
    hypothesis = Hypothesis(text="das sind heute vier Wörter ja", delays_ms=(1000.0,) * 6)
    scored = score_hypotheses([hypothesis], [utterance], tgt_lang="de", unit="word")
    assert scored.point.bleu == pytest.approx(100)
    assert scored.point.al_ms == pytest.approx(1000 - 2.5 * 1000)


def test_traces_of_other_utterances_are_refused() -> None:
    with pytest.raises(ValueError, match="same order"):
        score_traces([trace("a", "", [])], [spoken("b", 2000)], tgt_lang="de", unit="word")
