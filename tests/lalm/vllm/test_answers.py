"""What vLLM's log-probabilities mean at their edges, and audio that arrives sample for sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lalm.engine import Failure, Generation, Score
from lalm.vllm.answers import NOT_FINITE, Candidates, generation, score
from lalm.vllm.remote import audio_url
from tests.support.replica_server import read_audio_url

STOP = (2, 0)
SERVERS_NAN = -9999.0


def position(token: int, logprob: float = -0.5, rival: float = -1.5) -> Candidates:
    return {token: (logprob, 1), token + 100: (rival, 2)}


@settings(deadline=None, max_examples=60)
@given(arrays(np.int16, st.integers(1, 4_000)))
def test_audio_on_the_int16_grid_travels_as_16_bit_without_loss(pcm: np.ndarray) -> None:
    waveform = (pcm / np.float32(32_768)).astype(np.float32)
    url = audio_url(waveform)
    assert np.array_equal(read_audio_url(url), waveform)
    if pcm.min() > -32_768:
        assert len(url) < 2 * len(pcm) * 4 / 3 + 200, "two bytes a sample"


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, st.integers(1, 1_000), elements=st.floats(-4, 4, width=32)))
def test_any_other_audio_travels_as_float_without_loss(waveform: np.ndarray) -> None:
    assert np.array_equal(read_audio_url(audio_url(waveform)), waveform)


@pytest.mark.parametrize(
    "token_ids", [(7, 8, 2), (7, 8)], ids=["stop token returned", "stop token kept back"]
)
def test_a_stop_token_is_no_part_of_the_text_but_of_the_margin(token_ids: tuple[int, ...]) -> None:
    candidates = [position(7), position(8), position(2, -0.5, -0.75)]
    assert generation(token_ids, candidates, STOP) == Generation(
        token_ids=(7, 8), finish="stop", min_margin=0.25
    )


def test_a_turn_that_hits_its_limit_ends_by_length() -> None:
    assert generation((7, 8), [position(7), position(8)], STOP) == Generation(
        token_ids=(7, 8), finish="length", min_margin=1.0
    )


def test_a_turn_that_ends_at_once_is_empty() -> None:
    assert generation((2,), [position(2)], STOP) == Generation(token_ids=(), finish="stop", min_margin=1.0)


@pytest.mark.parametrize("broken", [math.nan, -math.inf, SERVERS_NAN])
def test_a_model_that_computes_no_number_is_a_failure_of_the_request(broken: float) -> None:
    assert generation((7,), [position(7, broken, broken)], STOP) is NOT_FINITE
    assert score((7, 8), [position(7), position(8, broken, broken)]) is NOT_FINITE


def test_a_score_has_each_tokens_own_rank_and_best_rival() -> None:
    beaten: Candidates = {9: (-4.0, 17), 5: (-0.25, 1), 6: (-1.0, 2)}
    assert score((7, 9), [position(7), beaten]) == Score(
        logprobs=(-0.5, -4.0), ranks=(1, 17), rival_logprobs=(-1.5, -0.25)
    )


def test_an_unlikely_token_is_no_broken_model() -> None:
    result = score((7,), [{7: (-800.0, 400), 8: (-0.1, 1), 9: (-3.0, 2)}])
    assert isinstance(result, Score)
    assert not isinstance(result, Failure)
