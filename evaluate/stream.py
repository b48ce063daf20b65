"""Simulated streaming of many utterances at once: step k of all of them is one batch.

Batching changes no result, only speed; compute times are therefore not recorded here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evaluate.config import EvaluateConfig
from evaluate.session import SAMPLES_PER_MS, SpokenUtterance, StreamSession
from evaluate.trace import StreamTrace
from lalm.engine import Engine, Failure
from lalm.prompts import Prompt

Progress = Callable[[int, int], None]
NO_RESULT = Failure(reason="no_result", detail="the engine gave no answer to this request")


def simulate(
    utterances: Sequence[SpokenUtterance],
    *,
    engine: Engine,
    prompt: Prompt,
    tokenizer: Any,
    chunk_ms: int | None,
    config: EvaluateConfig,
    adapter: Path | None,
    tgt_lang: str,
    progress: Progress | None = None,
) -> list[StreamTrace]:
    """Stream every utterance and return its trace, in order; `chunk_ms=None` hears each one whole.

    An utterance that the engine fails on, or that is longer than the model's window, gets a failed trace.
    """
    sessions = {
        utterance.id: StreamSession(
            utterance,
            prompt=prompt,
            tokenizer=tokenizer,
            chunk_ms=chunk_ms,
            config=config,
            tgt_lang=tgt_lang,
        )
        for utterance in utterances
    }
    if len(sessions) != len(utterances):
        raise ValueError("utterance ids must be distinct: each names one trace")
    for session in sessions.values():
        refuse_what_cannot_be_heard(session, engine.window_samples)
    _run(sessions, engine, adapter, progress)
    return [session.trace() for session in sessions.values()]


def refuse_what_cannot_be_heard(session: StreamSession, window_samples: int) -> None:
    """Fail a session whose audio is empty or does not fit the model's window."""
    num_samples = len(session.utterance.waveform)
    if num_samples == 0:
        session.fail("no_audio", "the utterance has no samples")
    if num_samples > window_samples:
        heard_s, window_s = (n / SAMPLES_PER_MS / 1000 for n in (num_samples, window_samples))
        session.fail(
            "longer_than_window", f"{heard_s:.2f} s of audio, but the model hears at most {window_s:.2f} s"
        )


def _run(
    sessions: dict[str, StreamSession], engine: Engine, adapter: Path | None, progress: Progress | None
) -> None:
    total = sum(session.num_steps for session in sessions.values())
    done = sum(session.num_steps for session in sessions.values() if session.failure)
    while waiting := {id_: session for id_, session in sessions.items() if session.is_open}:
        for id_, result in engine.generate([s.request() for s in waiting.values()], adapter=adapter):
            session = waiting.pop(id_)
            session.accept(result)
            done += session.num_steps - len(session.steps) if session.failure else 1
            if progress:
                progress(done, total)
        for session in waiting.values():
            session.accept(NO_RESULT)
