"""One stream alone: translated as if it were heard now, or timed, every step with the compute it really took."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate.config import EvaluateConfig
from evaluate.latency import queue_clock
from evaluate.policies import Policy
from evaluate.session import SIMULSA, SpokenUtterance, StreamSession
from evaluate.stream import NO_RESULT, Progress, answers, refuse_what_cannot_be_heard
from evaluate.trace import StreamTrace
from lalm.engine import Engine
from lalm.errors import EngineError
from lalm.prompts import Prompt

_UNFINISHED = "\ufffd"
"""What a tokenizer decodes the first bytes of an unfinished character to."""


def stream_live(
    waveform: NDArray[np.float32],
    *,
    sha: str,
    engine: Engine,
    prompt: Prompt,
    tokenizer: Any,
    chunk_ms: int,
    config: EvaluateConfig,
    adapter: Path | None,
    tgt_lang: str,
    policy: Policy = SIMULSA,
) -> Iterator[tuple[float, str]]:
    """Yield (audio heard in ms, new text) after every step, silent ones included with an empty text.

    The texts joined are the translation. Raises EngineError where the audio cannot be heard or the model
    fails, and ValueError for a policy that takes back what it wrote.
    """
    if policy.revises:
        raise ValueError(f"{policy} takes back what it wrote, which a live stream of new text cannot show")
    session = StreamSession(
        SpokenUtterance(id="live", waveform=waveform, sha=sha, references=()),
        prompt=prompt,
        tokenizer=tokenizer,
        chunk_ms=chunk_ms,
        config=config,
        tgt_lang=tgt_lang,
        policy=policy,
    )
    refuse_what_cannot_be_heard(session, engine.window_samples)
    shown = ""
    while session.is_open:
        _advance(session, engine, adapter)
        if session.failure is None:
            text = _readable(session)
            yield session.steps[-1].audio_ms, text[len(shown) :]
            shown = text
    if session.failure is not None:
        raise EngineError(f"the stream stopped after {len(session.steps)} steps: {session.failure}")


def simulate_timed(
    utterances: Sequence[SpokenUtterance],
    *,
    engine: Engine,
    prompt: Prompt,
    tokenizer: Any,
    chunk_ms: int | None,
    config: EvaluateConfig,
    adapter: Path | None,
    tgt_lang: str,
    policy: Policy = SIMULSA,
    warm_up: Sequence[SpokenUtterance],
    coalesce: bool = False,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[StreamTrace]:
    """Stream one utterance after the other and measure the compute of every step (`Step.compute_s`).

    Those of `warm_up` are streamed before, unmeasured. No audio encoding made elsewhere is used. With `coalesce`, a
    step that begins late on the queue clock hears all whole steps of audio that arrived meanwhile. The engine must
    compute its answers: one that reads them back from records would measure nothing. `clock` gives seconds.
    """
    traces: list[StreamTrace] = []
    for utterance in (*warm_up, *utterances):
        session = StreamSession(
            replace(utterance, sha=f"{utterance.sha}:timed-{uuid.uuid4().hex}"),
            prompt=prompt,
            tokenizer=tokenizer,
            chunk_ms=chunk_ms,
            config=config,
            tgt_lang=tgt_lang,
            policy=policy,
        )
        refuse_what_cannot_be_heard(session, engine.window_samples)
        while session.is_open:
            if coalesce and session.steps:
                session.skip_to(queue_clock(session.steps)[-1])
            _advance(session, engine, adapter, clock)
        traces.append(session.trace())
        if progress:
            progress(len(traces), len(warm_up) + len(utterances))
    return traces[len(warm_up) :]


def _advance(
    session: StreamSession,
    engine: Engine,
    adapter: Path | None,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """One step, its compute measured; a step that does not ask the model takes no time."""
    if session.reads:
        session.wait(compute_s=0.0)
        return
    began_s = clock()
    found = list(answers(engine, {session.utterance.id: session}, adapter))
    took_s = clock() - began_s
    _, result, attention = found[0] if found else ("", NO_RESULT, None)
    session.accept(result, attention=attention, compute_s=took_s)


def _readable(session: StreamSession) -> str:
    """All text so far; while more may come, an unfinished character is held back."""
    return session.text.rstrip(_UNFINISHED) if session.is_open else session.text
