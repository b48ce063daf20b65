"""Stream the held-out split with base, control and SimulSA, score them at equal latency, write the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow

from evaluate.config import SYSTEMS
from evaluate.policies import PolicyPoint
from flows.config import RunConfig
from flows.finetune_lalm import ensure_adapters
from flows.report import write_report
from flows.session import Session, session_for
from flows.summary import write_summary
from tasks.comet import check_comet, comet_workers
from tasks.evaluate import SpokenSet, Timed, score_systems, stream_system
from tasks.neural import score_neural
from tasks.stage import threads
from tasks.store import Manifest
from tasks.timed import stream_timed


@flow(name="evaluate-streaming", persist_result=False, task_runner=threads())
def evaluate_streaming(config: RunConfig) -> dict[str, Any]:
    """Measure quality against latency; dataset and adapters are made first unless their stages are hits."""
    with session_for(config) as session:
        check_evaluation(session)
        ensure_adapters(session)
        evaluate(session)
        write_report(session)
        return write_summary(session)


def check_evaluation(session: Session) -> None:
    """Raise what must not cost a fine-tuning first: a missing test split, a COMET model that cannot be used."""
    config = session.config.evaluate
    session.corpus(config.split)
    for model in config.comet:
        check_comet(session.workspace, model, references=True)


def evaluate(session: Session) -> None:
    """Every system at every chunk size, then the scores of all together."""
    config, ws = session.config, session.workspace
    truth = session.demo.truth if session.demo else None
    references = {id: known.references for id, known in truth.items()} if truth else None
    spoken = SpokenSet(session.corpus(config.evaluate.split), config.evaluate, references)
    adapters = {"base": None, **{name: made.directory for name, made in session.made["adapters"].items()}}

    def stream(system: str, point: PolicyPoint) -> Manifest:
        made: Manifest = stream_system.submit(
            ws, spoken, adapters[system], point.chunk_ms, config.evaluate, session.prompt, config.corpus.tgt_lang,
            point.policy,
        ).result()  # fmt: skip
        return made

    curves = config.evaluate.curves()
    streamed = {c.name: [stream(c.system, p) for p in c.points] for c in curves if c.name in SYSTEMS}
    policies = {
        c.name: [(p.label, stream(c.system, p)) for p in c.points] for c in curves if c.name not in SYSTEMS
    }
    timed = _timed(session, spoken, adapters)
    session.made |= {"spoken": spoken, "streamed": streamed, "policies": policies, "timed": timed}
    with comet_workers(ws):
        neural = [
            score_neural.submit(ws, spoken, streamed, model, policies).result()
            for model in config.evaluate.comet
        ]
    session.made["scores"] = score_systems.submit(
        ws, spoken, streamed, config.evaluate, config.corpus.tgt_lang, _ceiling(session, spoken), policies, timed,
        neural,
    ).result()  # fmt: skip


def _timed(
    session: Session, spoken: SpokenSet, adapters: Mapping[str, Path | None]
) -> dict[str, list[Manifest]]:
    """The timed systems at every timed chunk size; each has the machine to itself."""
    config, timed = session.config, session.config.evaluate.timed
    if timed is None:
        return {}
    return {
        system: [
            stream_timed.submit(
                session.workspace, spoken, adapters[system], chunk_ms, config.evaluate, timed, session.prompt,
                config.corpus.tgt_lang,
            ).result()
            for chunk_ms in timed.chunk_ms
        ]
        for system in timed.systems
    }  # fmt: skip


def _ceiling(session: Session, spoken: SpokenSet) -> Timed | None:
    """Where the truth is known: the corpus's own translation, every word as soon as it may be said."""
    if session.demo is None:
        return None
    truth = session.demo.truth
    own = {u.id: (truth[u.id], truth[u.id].translations[0]) for u in spoken.utterances}
    return {id: (best.text, known.delays_ms(best)) for id, (known, best) in own.items()}
