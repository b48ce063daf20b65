"""A request with a known answer before any work: an engine that mishears would spoil a corpus without an error.

Known without a second engine: greedy tokens score as the first choice of the prefill that scores them, other audio
changes the scores, and (over HTTP) the prompt arrives as the ids that were sent. Each has failed in some release.
"""

from __future__ import annotations

import numpy as np

from lalm.engine import AudioClip, Engine, Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import SAMPLE_RATE_HZ
from lalm.prompts import Prompt

NUM_TOKENS = 4
TOLERANCE_NATS = 0.25
"""Decoding and prefill differ in their last bits, in bfloat16 by hundredths of a nat."""


def check_engine(engine: Engine, prompt: Prompt) -> None:
    """Raise EngineError unless the canary's answers are what they must be."""
    chirp, silence = _chirp(), np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
    generation = _one(engine, GenerateRequest(
        request_id="canary", prompt_ids=prompt.ids, audio=AudioClip(key="chirp", waveform=chirp),
        max_new_tokens=NUM_TOKENS,
    ))  # fmt: skip
    assert isinstance(generation, Generation)
    continuation = generation.token_ids or prompt.stop_ids[:1]
    heard, unheard = (
        _one(engine, ScoreRequest(
            request_id="canary", prompt_ids=prompt.ids, audio=AudioClip(key=key, waveform=waveform),
            continuation_ids=continuation,
        ))
        for key, waveform in (("chirp", chirp), ("silence", silence))
    )  # fmt: skip
    assert isinstance(heard, Score)
    assert isinstance(unheard, Score)
    gaps = [rival - own for own, rival in zip(heard.logprobs, heard.rival_logprobs, strict=True)]
    if max(gaps) > TOLERANCE_NATS:
        raise EngineError(
            f"engine canary: a token it chose itself scores {max(gaps):.2f} nats below another (at most "
            f"{TOLERANCE_NATS} is rounding): it samples or penalises; serve with --generation-config vllm"
        )
    if heard.logprobs == unheard.logprobs:
        raise EngineError(
            "engine canary: a chirp and silence give the same scores, so the model hears no audio; check that the "
            "served model is the configured one and that its chat template holds the audio placeholder"
        )


def _one(engine: Engine, request: GenerateRequest | ScoreRequest) -> Generation | Score:
    answers = engine.generate([request]) if isinstance(request, GenerateRequest) else engine.score([request])
    ((_, answer),) = list(answers)
    if isinstance(answer, Failure):
        raise EngineError(f"engine canary: no answer to a request that must work ({answer.detail})")
    return answer


def _chirp() -> np.ndarray:
    """One second that rises from 200 to 2,000 Hz, shape (16000,)."""
    t = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    wave = np.sin(2 * np.pi * (200 * t + 900 * t * t)) * 8_000
    return (np.round(wave) / 32_768).astype(np.float32)
