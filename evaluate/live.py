"""One waveform translated as if it were heard now: every step yields what it adds to the text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate.config import EvaluateConfig
from evaluate.session import SpokenUtterance, StreamSession
from evaluate.stream import NO_RESULT, refuse_what_cannot_be_heard
from lalm.engine import Engine
from lalm.errors import EngineError
from lalm.prompts import Prompt, decode

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
) -> Iterator[tuple[float, str]]:
    """Yield (audio heard in ms, new text) after every step, silent ones included with an empty text.

    The texts joined are the translation. Raises EngineError where the audio cannot be heard or the model
    fails.
    """
    session = StreamSession(
        SpokenUtterance(id="live", waveform=waveform, sha=sha, references=()),
        prompt=prompt,
        tokenizer=tokenizer,
        chunk_ms=chunk_ms,
        config=config,
        tgt_lang=tgt_lang,
    )
    refuse_what_cannot_be_heard(session, engine.window_samples)
    shown = ""
    while session.is_open:
        _advance(session, engine, adapter)
        if session.failure is None:
            text = _readable(session, tokenizer)
            yield session.steps[-1].audio_ms, text[len(shown) :]
            shown = text
    if session.failure is not None:
        raise EngineError(f"the stream stopped after {len(session.steps)} steps: {session.failure}")


def _advance(session: StreamSession, engine: Engine, adapter: Path | None) -> None:
    began_s = time.perf_counter()
    results = [result for _, result in engine.generate([session.request()], adapter=adapter)]
    session.accept(results[0] if results else NO_RESULT, compute_s=time.perf_counter() - began_s)


def _readable(session: StreamSession, tokenizer: Any) -> str:
    """All text so far; while more may come, an unfinished character is held back."""
    ids = [token for step in session.steps for token in step.token_ids]
    text = decode(tokenizer, ids)
    return text.rstrip(_UNFINISHED) if session.is_open else text
