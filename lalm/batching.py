"""What makes a request answerable, and which requests share a forward pass; knows neither torch nor models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

from lalm.encodings import num_audio_positions
from lalm.engine import Failure, GenerateRequest, ScoreRequest
from lalm.loading import SAMPLE_RATE_HZ

Request = TypeVar("Request", GenerateRequest, ScoreRequest)


def refuse(
    request: GenerateRequest | ScoreRequest,
    *,
    window_samples: int,
    audio_id: int,
    vocab_size: int,
    min_samples: int = 0,
) -> Failure | None:
    """Why `request` cannot be answered, or None; one bad request must not reach the model and harm its batch."""
    return _refuse_audio(request, window_samples, min_samples) or _refuse_ids(request, audio_id, vocab_size)


def answer_ids(request: GenerateRequest | ScoreRequest) -> tuple[int, ...]:
    """The part of the answer that the request brings: forced for `generate`, to be scored for `score`."""
    return request.forced_ids if isinstance(request, GenerateRequest) else request.continuation_ids


def num_positions(request: GenerateRequest | ScoreRequest) -> int:
    """Positions of the request's prefill: prompt without placeholder, audio (see num_audio_positions), given answer."""
    audio = num_audio_positions(len(request.audio.waveform))
    return len(request.prompt_ids) - 1 + audio + len(answer_ids(request))


def batches(requests: Sequence[Request], batch_size: int) -> Iterator[list[Request]]:
    """Requests of similar length together, `alone` ones each by itself; ties keep the order given."""
    together = sorted((r for r in requests if not r.alone), key=num_positions)
    for start in range(0, len(together), batch_size):
        yield together[start : start + batch_size]
    for request in requests:
        if request.alone:
            yield [request]


def chunks(requests: Iterable[Request], size: int) -> Iterator[list[Request]]:
    """Lists of at most `size` requests, so that a lazy stream of waveforms is never held whole."""
    iterator = iter(requests)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _refuse_audio(
    request: GenerateRequest | ScoreRequest, window_samples: int, min_samples: int
) -> Failure | None:
    waveform = request.audio.waveform
    if waveform.ndim != 1 or len(waveform) < min_samples or num_audio_positions(len(waveform)) < 1:
        return _failure(
            request, "audio_invalid", f"audio of shape {waveform.shape} is too short for one encoder position"
        )
    if len(waveform) > window_samples:
        return _failure(
            request,
            "exceeds_model_window",
            f"audio lasts {len(waveform) / SAMPLE_RATE_HZ:.2f} s ({len(waveform)} samples), but the model hears at "
            f"most {window_samples / SAMPLE_RATE_HZ:.2f} s ({window_samples} samples)",
        )
    if not np.isfinite(waveform).all():
        return _failure(request, "audio_invalid", "audio holds NaN or infinite samples")
    return None


def _refuse_ids(request: GenerateRequest | ScoreRequest, audio_id: int, vocab_size: int) -> Failure | None:
    placeholders = request.prompt_ids.count(audio_id)
    if placeholders != 1:
        return _failure(
            request, "prompt_invalid", f"prompt holds {placeholders} audio placeholders, exactly 1 is needed"
        )
    ids = request.prompt_ids + answer_ids(request)
    if min(ids) < 0 or max(ids) >= vocab_size:
        return _failure(
            request,
            "prompt_invalid",
            f"token ids must lie in 0..{vocab_size - 1}, got {min(ids)}..{max(ids)}",
        )
    if isinstance(request, GenerateRequest) and request.max_new_tokens < 1:
        return _failure(
            request, "prompt_invalid", f"max_new_tokens must be at least 1, got {request.max_new_tokens}"
        )
    return None


def _failure(request: GenerateRequest | ScoreRequest, reason: str, rule: str) -> Failure:
    return Failure(reason=reason, detail=f"request {request.request_id}: {rule}")
