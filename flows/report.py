"""Gathers a session's results into evaluate's report page; knows nothing of HTML."""

from __future__ import annotations

from pathlib import Path

from augment.schema import Counts
from evaluate.config import SYSTEMS
from evaluate.curves import CurvePoint
from evaluate.report import FailureRow, ReportData, StageRow, render_report
from evaluate.significance import EqualLatency
from evaluate.timeline import Example, build_example
from evaluate.trace import StreamTrace
from evaluate.units import choose_unit
from flows.session import Session
from flows.summary import BALANCE, read_scores
from tasks.evaluate import SpokenSet, traces_of
from tasks.store import Manifest

EXAMPLES = 12
EXAMPLE_CHUNK_MS = 960


def write_report(session: Session) -> Path:
    """Write report.html beside the results and return its path."""
    scores, config = read_scores(session), session.config
    dataset: Manifest = session.made["dataset"]
    data = ReportData(
        title=f"simulsa run {config.name}",
        curves={name: [CurvePoint.from_json(p) for p in points] for name, points in scores["curves"].items()},
        equal_latency=[EqualLatency.from_json(point) for point in scores["equal_latency"]],
        confidence=config.evaluate.confidence,
        resamples=config.evaluate.bootstrap_resamples,
        ceiling=CurvePoint.from_json(scores["ceiling"]) if scores["ceiling"] else None,
        facts=_facts(session),
        counts=Counts(**{name: dataset.info[name] for name in BALANCE}),
        rejections=dataset.info["rejected"],
        stages=[
            StageRow(name=t.name, cached=t.cached == t.shards, seconds=t.seconds, detail=f"{t.shards} parts")
            for t in session.workspace.clock.timings()
        ],
        examples=_examples(session),
        failures=_failures(session),
    )
    path = config.run_dir / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    render_report(data, path)
    return path


def _facts(session: Session) -> list[tuple[str, str]]:
    config = session.config
    return [
        ("model", session.workspace.info.name.rsplit("/", 1)[-1]),
        ("corpus", f"{config.corpus.name}, {config.corpus.src_lang} to {config.corpus.tgt_lang}"),
        ("rule", f"{config.partial.rule}, draft {config.partial.draft}"),
        (
            "cut",
            f"Beta({config.truncate.alpha:g}, {config.truncate.beta:g}) of the {config.truncate.of} share",
        ),
        ("fine-tuning", f"{config.finetune.steps} steps of {config.finetune.batch_size}"),
        ("seed", str(config.seed)),
    ]


def _failures(session: Session) -> list[FailureRow]:
    streamed: dict[str, list[Manifest]] = session.made["streamed"]
    return [
        FailureRow(system=system, chunk_ms=made.inputs["chunk_ms"], id=id, reason=reason)
        for system, points in streamed.items()
        for made in points
        for id, reason in made.info["failed"].items()
    ]


def _examples(session: Session) -> list[Example]:
    """The first utterances at the streamed chunk size nearest to EXAMPLE_CHUNK_MS, all systems."""
    spoken: SpokenSet = session.made["spoken"]
    config = session.config
    chunk_ms = min(config.evaluate.chunk_ms, key=lambda chunk: abs(chunk - EXAMPLE_CHUNK_MS))
    traces = {system: _traces(session, system, chunk_ms) for system in SYSTEMS}
    unit = choose_unit(config.evaluate.unit, config.corpus.tgt_lang)
    heard = [u for u in spoken.spoken if len(u.waveform)][:EXAMPLES]
    return [build_example(u, {s: by_id[u.id] for s, by_id in traces.items()}, unit) for u in heard]


def _traces(session: Session, system: str, chunk_ms: int) -> dict[str, StreamTrace]:
    points: list[Manifest] = session.made["streamed"][system]
    made = next(m for m in points if m.inputs["chunk_ms"] == chunk_ms)
    return {trace.id: trace for trace in traces_of(made)}
