"""Gathers a session's results into evaluate's report page and its exports; knows nothing of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from augment.schema import Counts
from evaluate.config import SYSTEMS
from evaluate.curves import CurvePoint
from evaluate.export import measure_utterances, point_scores, write_exports
from evaluate.regimes import rules_for
from evaluate.report import FailureRow, ReportData, StageRow, render_report
from evaluate.report.spread import measure_spread
from evaluate.report.timeline import Example, build_example
from evaluate.significance import EqualLatency
from evaluate.trace import StreamTrace
from evaluate.units import Unit, choose_unit
from flows.neural_points import neural_points
from flows.policy_curves import Measured, evidence_of, policy_curves
from flows.session import Session
from flows.summary import BALANCE, read_scores
from flows.timed_points import timed_facts, timed_points
from tasks.evaluate import SpokenSet, traces_of
from tasks.store import Manifest

EXAMPLES = 24
EXAMPLE_CHUNK_MS = 960
EXAMPLE_AUDIO_S = 180.0
"""Sound on the page, about 5 MB; the utterances after it are shown without."""

Streamed = Mapping[str, Sequence[Sequence[StreamTrace]]]
"""Per system and point of its curve, the traces of all utterances."""


def write_report(session: Session) -> Path:
    """Write report.html and scores/ beside the results and return the page's path."""
    config = session.config
    streamed = {
        system: [traces_of(made) for made in points] for system, points in session.made["streamed"].items()
    }
    measured = _measured(session, streamed)
    data = _report_data(session, streamed, measured)
    path = config.run_dir / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (utterance for points in measured.values() for point in points for utterance in point)
    write_exports(data, rows, config.run_dir / "scores")
    render_report(data, path)
    return path


def _report_data(session: Session, streamed: Streamed, measured: Measured) -> ReportData:
    scores, config = read_scores(session), session.config
    dataset: Manifest = session.made["dataset"]
    curves = {name: [CurvePoint.from_json(p) for p in points] for name, points in scores["curves"].items()}
    policies = policy_curves(config.evaluate.curves(), scores, measured)
    points = curves | {curve.name: curve.points for curve in policies}
    evidence = evidence_of(points, measured, config.corpus.tgt_lang)
    return ReportData(
        title=f"simulsa run {config.name}",
        curves=curves,
        equal_latency=[EqualLatency.from_json(point) for point in scores["equal_latency"]],
        confidence=config.evaluate.confidence,
        resamples=config.evaluate.bootstrap_resamples,
        ceiling=CurvePoint.from_json(scores["ceiling"]) if scores["ceiling"] else None,
        spread=measure_spread({name: evidence[name] for name in curves}, config.evaluate),
        scores={system: [point_scores(point) for point in measured[system]] for system in curves},
        policies=policies,
        policy_spread=measure_spread(evidence, config.evaluate, treatment=None) if policies else None,
        timed=timed_points(scores["timed"]) if "timed" in scores else (),
        timed_facts=timed_facts(scores["timed"]) if "timed" in scores else (),
        neural=neural_points(scores),
        rules=rules_for(config.corpus.src_lang, config.corpus.tgt_lang),
        facts=_facts(session),
        counts=Counts(**{name: dataset.info[name] for name in BALANCE}),
        rejections=dataset.info["rejected"],
        stages=[
            StageRow(name=t.name, cached=t.cached == t.shards, seconds=t.seconds, detail=f"{t.shards} parts")
            for t in session.workspace.clock.timings()
        ],
        examples=_examples(session, streamed),
        failures=_failures(session),
    )


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


def _unit(session: Session) -> Unit:
    return choose_unit(session.config.evaluate.unit, session.config.corpus.tgt_lang)


def _measured(session: Session, streamed: Streamed) -> Measured:
    spoken: SpokenSet = session.made["spoken"]
    own = {
        system: [measure_utterances(system, traces, spoken.spoken, _unit(session)) for traces in points]
        for system, points in streamed.items()
    }
    others = {
        name: [
            measure_utterances(name, traces_of(made), spoken.spoken, _unit(session), knob)
            for knob, made in points
        ]
        for name, points in session.made["policies"].items()
    }
    return own | others


def _failures(session: Session) -> list[FailureRow]:
    others = {name: [made for _, made in points] for name, points in session.made["policies"].items()}
    streamed: dict[str, list[Manifest]] = session.made["streamed"] | others
    return [
        FailureRow(system=system, chunk_ms=made.inputs["chunk_ms"], id=id, reason=reason)
        for system, points in streamed.items()
        for made in points
        for id, reason in made.info["failed"].items()
    ]


def _examples(session: Session, streamed: Streamed) -> list[Example]:
    """The first utterances at the streamed chunk size nearest to EXAMPLE_CHUNK_MS, all systems."""
    spoken: SpokenSet = session.made["spoken"]
    config = session.config
    chunk_ms = min(config.evaluate.chunk_ms, key=lambda chunk: abs(chunk - EXAMPLE_CHUNK_MS))
    by_id = {
        system: {
            trace.id: trace for point in streamed[system] for trace in point if trace.chunk_ms == chunk_ms
        }
        for system in SYSTEMS
    }
    heard = [u for u in spoken.spoken if len(u.waveform)][:EXAMPLES]
    seconds = accumulate(u.source_ms / 1000 for u in heard)
    return [
        build_example(
            u, {s: by_id[s][u.id] for s in SYSTEMS}, _unit(session), with_audio=so_far <= EXAMPLE_AUDIO_S
        )
        for u, so_far in zip(heard, seconds, strict=True)
    ]
