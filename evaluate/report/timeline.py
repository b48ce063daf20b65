"""What was heard and written when, for one utterance: geometry of a timeline for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from evaluate.latency import length_adaptive_lagging, unit_lags
from evaluate.report.sentence import mark_errors, sentence_chrf
from evaluate.report.sound import audio_uri, wave_path
from evaluate.session import SpokenUtterance
from evaluate.trace import Step, StreamTrace
from evaluate.units import Unit, split_units


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One unit of the output, and whether the best matching reference has it there."""

    text: str
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """The units completed at one moment; `at` is that moment as a percentage of the audio.

    `lag_s` is how far the first of them came behind an even pace: its term of LAAL.
    """

    at: float
    delay_s: float
    lag_s: float
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One step on the timeline: it wrote, waited, or ran into its cap."""

    at: float
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One system's output along the audio.

    `path` holds the corners of its reading and writing, as percentages of the audio heard and of the units
    written; an even pace is the diagonal. `laal_ms` is nan where nothing was written.
    """

    system: str
    chunk_ms: int | None
    text: str
    writes: tuple[Write, ...]
    beats: tuple[Beat, ...]
    path: tuple[tuple[float, float], ...]
    missing: tuple[str, ...]
    errors: int
    chrf: float
    laal_ms: float
    cap_hits: int
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One utterance of the report: what was said, what it means, how it sounds, and every system's track.

    `joiner` stands between units. `wave` is the outline of its loudness as an SVG path; `audio` a data URI, or
    None where the page leaves it out.
    """

    id: str
    duration_s: float
    src_text: str | None
    references: tuple[str, ...]
    joiner: str
    wave: str
    audio: str | None
    tracks: tuple[Track, ...]

    @property
    def measures(self) -> dict[str, float]:
        """What utterances are sorted and filtered by; `gain` is SimulSA's chrF above the best other system's."""
        chrf = {track.system: track.chrf for track in self.tracks}
        others = [value for system, value in chrf.items() if system != "simulsa"]
        gain = chrf["simulsa"] - max(others) if "simulsa" in chrf and others else 0.0
        lags_ms = [track.laal_ms for track in self.tracks if track.writes]
        return {
            "duration": self.duration_s,
            "gain": gain,
            "loss": -gain,
            "lag": max(lags_ms, default=0.0),
            "errors": max((track.errors for track in self.tracks), default=0),
            "trouble": sum(track.cap_hits + (track.failure is not None) for track in self.tracks),
        }


def build_example(
    utterance: SpokenUtterance, traces: Mapping[str, StreamTrace], unit: Unit, *, with_audio: bool = True
) -> Example:
    """The timeline of one utterance from each system's trace of it."""
    return Example(
        id=utterance.id,
        duration_s=utterance.source_ms / 1000,
        src_text=utterance.src_text,
        references=utterance.references,
        joiner=" " if unit == "word" else "",
        wave=wave_path(utterance.waveform),
        audio=audio_uri(utterance.waveform) if with_audio else None,
        tracks=tuple(_track(system, trace, utterance, unit) for system, trace in traces.items()),
    )


def _track(system: str, trace: StreamTrace, utterance: SpokenUtterance, unit: Unit) -> Track:
    references = [split_units(reference, unit) for reference in utterance.references]
    units = [emission.unit for emission in trace.emissions]
    marked = mark_errors(units, references)
    lags_ms = unit_lags(trace.delays_ms, trace.source_ms, len(references[0]))
    return Track(
        system=system,
        chunk_ms=trace.chunk_ms,
        text=trace.text,
        writes=tuple(_writes(trace, marked.right, lags_ms)),
        beats=tuple(Beat(at=100 * step.audio_ms / trace.source_ms, kind=_kind(step)) for step in trace.steps),
        path=tuple(_path(trace, max(len(units), len(references[0]), 1))),
        missing=marked.missing,
        errors=marked.errors,
        chrf=sentence_chrf(trace.text, utterance.references),
        laal_ms=length_adaptive_lagging(trace.delays_ms, trace.source_ms, len(references[0])),
        cap_hits=trace.cap_hits,
        failure=trace.failure,
    )


def _writes(trace: StreamTrace, right: tuple[bool, ...], lags_ms: list[float]) -> Iterator[Write]:
    for delay_ms, group in groupby(range(len(lags_ms)), key=lambda i: trace.delays_ms[i]):
        indices = list(group)
        yield Write(
            at=100 * delay_ms / trace.source_ms,
            delay_s=delay_ms / 1000,
            lag_s=lags_ms[indices[0]] / 1000,
            words=tuple(Word(text=trace.emissions[i].unit, right=right[i]) for i in indices),
        )


def _path(trace: StreamTrace, units: int) -> Iterator[tuple[float, float]]:
    """Right while it hears, up where it writes; ends with the audio."""
    yield 0.0, 0.0
    height = 0.0
    for delay_ms, group in groupby(trace.delays_ms):
        at = 100 * delay_ms / trace.source_ms
        yield at, height
        height += 100 * sum(1 for _ in group) / units
        yield at, height
    if not trace.delays_ms or trace.delays_ms[-1] < trace.source_ms:
        yield 100.0, height


def _kind(step: Step) -> str:
    if step.capped:
        return "capped"
    return "wrote" if step.token_ids or step.pieces else "waited"
