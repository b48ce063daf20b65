"""Simulated streaming of many utterances at once: step k of all of them is one batch.

Batching changes no result, only speed; compute times are therefore not recorded here: `evaluate.live` measures them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluate.config import EvaluateConfig
from evaluate.policies import Policy
from evaluate.session import SAMPLES_PER_MS, SIMULSA, SpokenUtterance, StreamSession
from evaluate.trace import StreamTrace
from lalm.attention import Attention, attentive
from lalm.engine import Engine, Failure, Generation
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
    policy: Policy = SIMULSA,
    progress: Progress | None = None,
) -> list[StreamTrace]:
    """Stream every utterance and return its trace, in order; `chunk_ms=None` hears each one whole.

    An utterance that the engine fails on, or that is longer than the model's window, gets a failed trace. Raises
    EngineError for an attention policy on an engine that has no attention to show.
    """
    if policy.attends is not None:
        attentive(engine)
    sessions = {
        utterance.id: StreamSession(
            utterance,
            prompt=prompt,
            tokenizer=tokenizer,
            chunk_ms=chunk_ms,
            config=config,
            tgt_lang=tgt_lang,
            policy=policy,
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
    window_ms = window_samples / SAMPLES_PER_MS
    if len(session.utterance.waveform) == 0:
        session.fail("no_audio", "the utterance has no samples")
    if session.most_heard_ms > window_ms:
        heard_s, window_s = session.most_heard_ms / 1000, window_ms / 1000
        session.fail(
            "longer_than_window", f"{heard_s:.2f} s of audio, but the model hears at most {window_s:.2f} s"
        )


def answers(
    engine: Engine, sessions: Mapping[str, StreamSession], adapter: Path | None
) -> Iterator[tuple[str, Generation | Failure, Attention | None]]:
    """What the engine says to the sessions' requests, by id; with its attention where a session judges by that.

    Raises EngineError where an engine without attention is asked for it.
    """
    judged: dict[tuple[int, ...], dict[str, Generation]] = {}
    for id_, result in engine.generate([s.request() for s in sessions.values()], adapter=adapter):
        layers = sessions[id_].attends
        if layers is None or isinstance(result, Failure) or not result.token_ids:
            yield id_, result, None
        else:
            judged.setdefault(layers, {})[id_] = result
    for layers, said in judged.items():
        # In the sessions' order, whichever answers came first: a rerun from records asks in the same batches.
        asked = [session.attention_request(said[id_]) for id_, session in sessions.items() if id_ in said]
        for id_, attention in attentive(engine).attend(asked, layers=layers, adapter=adapter):
            if isinstance(attention, Failure):
                yield id_, attention, None
            else:
                yield id_, said[id_], attention


def _run(
    sessions: dict[str, StreamSession], engine: Engine, adapter: Path | None, progress: Progress | None
) -> None:
    total = sum(session.num_steps for session in sessions.values())
    while waiting := _asking(sessions):
        done = sum(session.steps_done for session in sessions.values())
        for id_, result, attention in answers(engine, dict(waiting), adapter):
            session = waiting.pop(id_)
            before = session.steps_done
            session.accept(result, attention=attention)
            done += session.steps_done - before
            if progress:
                progress(done, total)
        for session in waiting.values():
            session.accept(NO_RESULT)


def _asking(sessions: Mapping[str, StreamSession]) -> dict[str, StreamSession]:
    """The sessions whose next step asks the model; what comes before it is heard."""
    for session in sessions.values():
        while session.reads:
            session.wait()
    return {id_: session for id_, session in sessions.items() if session.is_open}
