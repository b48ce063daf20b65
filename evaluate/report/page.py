"""One self-contained HTML page of a run: verdict, curves, intervals, data balance, stages, utterances.

The page loads nothing: styles, pictures, sound and the script are inside it, and every text is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from augment.atomic import write_bytes
from evaluate.curves import CurvePoint
from evaluate.report.charts import Chart, difference_chart, quality_latency_chart
from evaluate.report.data import ReportData
from evaluate.report.policy_charts import latency_grid, policy_chart, policy_panels, readings
from evaluate.report.rows import best_in_regimes, policy_rows, table_rows
from evaluate.report.verdict import comparisons, headline, signed

_TEMPLATES = Path(__file__).parent / "templates"


def render_report(data: ReportData, path: Path) -> None:
    """Write the page, replacing the file whole or not at all."""
    write_bytes(path, report_html(data).encode())


def report_html(data: ReportData) -> str:
    """The page as a string."""
    rows, grid = table_rows(data), latency_grid(data.policies)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            rows=rows,
            regimes=best_in_regimes(rows, data.rules),
            silent=any(row.point.n_empty for row in rows),
            headline=headline(data.equal_latency),
            comparisons=comparisons(data.equal_latency, data.confidence),
            quality_chart=quality_latency_chart(data.curves, data.ceiling, data.spread),
            difference_chart=difference_chart(data.equal_latency),
            policy_chart=policy_chart(data.policies, data.ceiling, data.policy_spread),
            panels=policy_panels(data.policies, data.ceiling, data.policy_spread),
            policy_rows=policy_rows(data),
            systems=list(dict.fromkeys(curve.system for curve in data.policies)),
            revises=any(
                scores.get("normalized_erasure", 0) > 0 for c in data.policies for scores in c.scores
            ),
            grid=grid,
            readings=readings(data.policies, grid),
            signatures=_signatures(data.curves),
        )
    )


def chart_svg(chart: Chart, title: str) -> str:
    """The picture alone, as an SVG document that needs no style sheet."""
    return _environment().get_template("chart.svg.j2").render(chart=chart, title=title)


def panels_svg(panels: Sequence[Chart], title: str) -> str:
    """Small pictures side by side as one SVG document, with the systems' colours above them."""
    columns = min(len(panels), 3)
    systems = dict.fromkeys(series.system for panel in panels for series in panel.series)
    template = _environment().get_template("panels.svg.j2")
    return template.render(panels=panels, title=title, columns=columns, systems=systems)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    return environment


def _signatures(curves: Mapping[str, Sequence[CurvePoint]]) -> list[str]:
    """The distinct metric signatures of all points, in order of appearance."""
    points = [point for points in curves.values() for point in points]
    named = [f"BLEU {point.bleu_signature}" for point in points]
    named += [f"chrF {point.chrf_signature}" for point in points]
    return list(dict.fromkeys(named))
