"""A request with a known answer before any work: an engine that mishears would spoil a corpus without an error.

Known without a second engine: greedy tokens score as the first choice of the prefill that scores them, and other
audio changes the scores. Each has failed in some release.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from lalm.adapters import WEIGHTS_FILE
from lalm.engine import AudioClip, Engine, Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import SAMPLE_RATE_HZ
from lalm.prompts import Prompt

Result = TypeVar("Result", Generation, Score)

NUM_TOKENS = 4
TOLERANCE_NATS = 0.25
"""Decoding and prefill differ in their last bits, in bfloat16 by hundredths of a nat."""
HEARING_NATS = 0.02
"""Other audio moves some score by more; the same audio asked twice moves none, or its last bits."""


def check_engine(engine: Engine, prompt: Prompt, *, adapter: Path | None = None) -> None:
    """Raise EngineError unless the canary's answers, under the adapter, are what they must be."""
    chirp = AudioClip(key="chirp", waveform=chirp_waveform())
    silence = AudioClip(key="silence", waveform=np.zeros(SAMPLE_RATE_HZ, dtype=np.float32))
    said = _generate(engine, prompt, chirp, adapter)
    continuation = said or prompt.stop_ids[:1]
    heard, unheard = (_score(engine, prompt, audio, continuation, adapter) for audio in (chirp, silence))
    gap = max(rival - own for own, rival in zip(heard.logprobs, heard.rival_logprobs, strict=True))
    if gap > TOLERANCE_NATS:
        raise EngineError(
            f"engine canary: a token it chose itself scores {gap:.2f} nats below another (at most "
            f"{TOLERANCE_NATS} is rounding): it samples or penalises; serve with --generation-config vllm"
        )
    if _distance(heard, unheard) < HEARING_NATS:
        raise EngineError(
            "engine canary: a chirp and silence give the same scores, so the model hears no audio; check that the "
            "served model is the configured one and that its chat template holds the audio placeholder"
        )


def check_adapter(engine: Engine, prompt: Prompt, adapter: Path) -> None:
    """Raise EngineError when the adapter changes nothing: an engine may ignore weights whose names it does not know.

    An adapter that was never trained changes nothing by right, and is let through.
    """
    if not _is_trained(adapter):
        return
    chirp = AudioClip(key="chirp", waveform=chirp_waveform())
    base, adapted = (_score(engine, prompt, chirp, prompt.stop_ids[:1], worn) for worn in (None, adapter))
    if base == adapted:
        raise EngineError(
            f"adapter {adapter}: the engine answers with it exactly as without it, so it does not apply its weights; "
            "`simulsa merge` makes one model of both, or use engine.kind transformers"
        )


def _is_trained(adapter: Path) -> bool:
    """Whether any of the second factors, which begin as zeros, is not."""
    with safe_open(adapter / WEIGHTS_FILE, framework="pt") as weights:
        return any(weights.get_tensor(name).any() for name in weights.keys() if "lora_B" in name)  # noqa: SIM118


def chirp_waveform() -> NDArray[np.float32]:
    """One second that rises from 200 to 2,000 Hz, shape (16000,)."""
    t = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    wave = np.sin(2 * np.pi * (200 * t + 900 * t * t)) * 8_000
    return (np.round(wave) / 32_768).astype(np.float32)


def _generate(engine: Engine, prompt: Prompt, audio: AudioClip, adapter: Path | None) -> tuple[int, ...]:
    request = GenerateRequest(
        request_id="canary", prompt_ids=prompt.ids, audio=audio, max_new_tokens=NUM_TOKENS
    )
    ((_, answer),) = engine.generate([request], adapter=adapter)
    return _answered(answer).token_ids


def _score(
    engine: Engine, prompt: Prompt, audio: AudioClip, continuation: tuple[int, ...], adapter: Path | None
) -> Score:
    request = ScoreRequest(
        request_id="canary", prompt_ids=prompt.ids, audio=audio, continuation_ids=continuation
    )
    ((_, answer),) = engine.score([request], adapter=adapter)
    return _answered(answer)


def _answered(answer: Result | Failure) -> Result:
    if isinstance(answer, Failure):
        raise EngineError(f"engine canary: no answer to a request that must work ({answer.detail})")
    return answer


def _distance(one: Score, other: Score) -> float:
    """The largest difference of any log-probability, rivals included, in nats."""
    pairs = zip(one.logprobs + one.rival_logprobs, other.logprobs + other.rival_logprobs, strict=True)
    return max(abs(a - b) for a, b in pairs)
