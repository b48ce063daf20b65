"""What was heard and written when, for one utterance: geometry of a timeline for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from evaluate.session import SpokenUtterance
from evaluate.trace import Step, StreamTrace
from evaluate.units import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """The units completed at one moment; `at` is that moment as a percentage of the audio."""

    at: float
    delay_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One step on the timeline: it wrote, waited, or ran into its cap."""

    at: float
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One system's output along the audio."""

    system: str
    chunk_ms: int | None
    writes: tuple[Write, ...]
    beats: tuple[Beat, ...]
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One utterance of the report: what was said, what it means, and every system's track."""

    id: str
    duration_s: float
    src_text: str | None
    references: tuple[str, ...]
    tracks: tuple[Track, ...]


def build_example(utterance: SpokenUtterance, traces: Mapping[str, StreamTrace], unit: Unit) -> Example:
    """The timeline of one utterance from each system's trace of it."""
    return Example(
        id=utterance.id,
        duration_s=utterance.source_ms / 1000,
        src_text=utterance.src_text,
        references=utterance.references,
        tracks=tuple(_track(system, trace, unit) for system, trace in traces.items()),
    )


def _track(system: str, trace: StreamTrace, unit: Unit) -> Track:
    joiner = " " if unit == "word" else ""
    writes = [
        Write(
            at=100 * delay_ms / trace.source_ms,
            delay_s=delay_ms / 1000,
            text=joiner.join(emission.unit for emission in group),
        )
        for delay_ms, group in groupby(trace.emissions, key=lambda emission: emission.delay_ms)
    ]
    beats = tuple(Beat(at=100 * step.audio_ms / trace.source_ms, kind=_kind(step)) for step in trace.steps)
    return Track(
        system=system, chunk_ms=trace.chunk_ms, writes=tuple(writes), beats=beats, failure=trace.failure
    )


def _kind(step: Step) -> str:
    if step.capped:
        return "capped"
    return "wrote" if step.token_ids else "waited"
