"""One self-contained HTML page of a run: verdict, curves, intervals, data balance, stages, utterances.

The page loads nothing: styles, pictures and the few lines of script are inside it, and every text is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from augment.schema import Counts
from evaluate.charts import difference_chart, quality_latency_chart
from evaluate.curves import CurvePoint
from evaluate.significance import EqualLatency
from evaluate.timeline import Example
from evaluate.verdict import comparisons, headline, signed

_TEMPLATES = Path(__file__).parent / "templates"


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
class ReportData:
    """Everything the page shows; `facts` and `dataset_facts` are (name, value) pairs shown as they are."""

    title: str
    curves: Mapping[str, Sequence[CurvePoint]]
    equal_latency: Sequence[EqualLatency]
    confidence: float = 0.95
    resamples: int = 0
    ceiling: CurvePoint | None = None
    facts: Sequence[tuple[str, str]] = ()
    counts: Counts | None = None
    rejections: Mapping[str, int] = field(default_factory=dict)
    dataset_facts: Sequence[tuple[str, str]] = ()
    stages: Sequence[StageRow] = ()
    examples: Sequence[Example] = ()
    failures: Sequence[FailureRow] = ()


def render_report(data: ReportData, path: Path) -> None:
    """Write the page, replacing the file."""
    path.write_text(report_html(data), encoding="utf-8")


def report_html(data: ReportData) -> str:
    """The page as a string."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    return environment.get_template("report.html.j2").render(
        data=data,
        headline=headline(data.equal_latency),
        comparisons=comparisons(data.equal_latency, data.confidence),
        quality_chart=quality_latency_chart(data.curves, data.ceiling),
        difference_chart=difference_chart(data.equal_latency),
        signatures=_signatures(data.curves),
    )


def _signatures(curves: Mapping[str, Sequence[CurvePoint]]) -> list[str]:
    """The distinct metric signatures of all points, in order of appearance."""
    points = [point for points in curves.values() for point in points]
    named = [f"BLEU {point.bleu_signature}" for point in points]
    named += [f"chrF {point.chrf_signature}" for point in points]
    return list(dict.fromkeys(named))
