"""Everything the report page shows, as values; knows neither HTML nor where they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from augment.schema import Counts
from evaluate.curves import CurvePoint
from evaluate.latency.scores import Scores
from evaluate.regimes import Rules
from evaluate.report.spread import Spread
from evaluate.report.timeline import Example
from evaluate.significance import EqualLatency


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage of the run: whether its result was found or made, and how long that took."""

    name: str
    cached: bool
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """An utterance that a system got no translation of, and why."""

    system: str
    chunk_ms: int | None
    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCurve:
    """One system under one policy; a point per setting of its knob, with every further score of that point."""

    name: str
    system: str
    policy: str
    knobs: tuple[str, ...]
    points: tuple[CurvePoint, ...]
    scores: tuple[Scores, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedPoint:
    """One system at one chunk size, streamed once more to measure computing: every metric on both clocks."""

    system: str
    chunk_ms: int
    n_utterances: int
    scores: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralPoint:
    """One point of a curve by one COMET model, on the model's own scale: the mean over `n` utterances."""

    model: str
    system: str
    knob: str
    mean: float | None
    n: int
    n_empty: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything the page shows; `facts`, `dataset_facts` and `timed_facts` are (name, value) pairs shown as they are.

    `spread` and `scores` (every metric that a point itself does not hold) may be missing; where they are not, their
    points stand in the order of `curves`. `policies` is empty unless SimulSA has others beside it; then it holds all
    curves, and `policy_spread` their common bands and front.
    """

    title: str
    curves: Mapping[str, Sequence[CurvePoint]]
    equal_latency: Sequence[EqualLatency]
    confidence: float = 0.95
    resamples: int = 0
    ceiling: CurvePoint | None = None
    spread: Spread | None = None
    scores: Mapping[str, Sequence[Scores]] = field(default_factory=dict)
    policies: Sequence[PolicyCurve] = ()
    policy_spread: Spread | None = None
    timed: Sequence[TimedPoint] = ()
    timed_facts: Sequence[tuple[str, str]] = ()
    neural: Sequence[NeuralPoint] = ()
    rules: Sequence[Rules] = ()
    facts: Sequence[tuple[str, str]] = ()
    counts: Counts | None = None
    rejections: Mapping[str, int] = field(default_factory=dict)
    dataset_facts: Sequence[tuple[str, str]] = ()
    stages: Sequence[StageRow] = ()
    examples: Sequence[Example] = ()
    failures: Sequence[FailureRow] = ()
