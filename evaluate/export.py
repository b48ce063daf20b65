"""The numbers and the pictures of a report as files for other programs: CSV of all scores, the curves as SVG and PNG.

Plain CSV in UTF-8: a value that does not exist is an empty cell, and a column without any value is left out. A text
that a spreadsheet would take for a formula gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from augment.atomic import replaced, write_bytes
from evaluate.curves import CurvePoint, ScoredPoint
from evaluate.latency import queue_clock
from evaluate.latency.scores import (
    Scores,
    effort_scores,
    mean_scores,
    penalised_scores,
    pooled_lags,
    utterance_scores,
)
from evaluate.latency.timed import TimedOutput, timed_output
from evaluate.monotonicity import word_order
from evaluate.png import svg_to_png, why_no_png
from evaluate.quality import bleu_statistics
from evaluate.report.charts import quality_latency_chart
from evaluate.report.data import ReportData, TimedPoint
from evaluate.report.page import chart_svg, panels_svg
from evaluate.report.policy_charts import policy_panels
from evaluate.report.rows import TableRow, policy_rows, table_rows
from evaluate.report.sentence import sentence_chrf
from evaluate.report.spread import Spread
from evaluate.session import SpokenUtterance
from evaluate.trace import StreamTrace
from evaluate.units import Unit, split_units

Cells = Mapping[str, Any]
_FORMULA = re.compile(r"'*[=+\-@\0\t\r\n＝＋－＠]")
"""How a formula begins, as OWASP lists it (CSV Injection; ASVS 5.0, 1.2.10), the wide signs of East Asia with it.

Behind apostrophes too: so taking one away always gives the text back.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredUtterance:
    """One system's output for one utterance, with its chrF, its word order and every latency metric.

    `knob` is the setting of its policy, where the system runs under one.
    """

    system: str
    knob: str
    trace: StreamTrace
    output: TimedOutput
    references: tuple[str, ...]
    chrf: float
    scores: Scores


def measure_utterances(
    system: str,
    traces: Sequence[StreamTrace],
    utterances: Sequence[SpokenUtterance],
    unit: Unit,
    knob: str = "",
) -> list[MeasuredUtterance]:
    """Every metric of every utterance; one without audio has none but its chrF."""
    return [
        _measure(system, knob, trace, utterance, unit)
        for trace, utterance in zip(traces, utterances, strict=True)
    ]


def point_scores(measured: Sequence[MeasuredUtterance]) -> Scores:
    """The mean of every metric, but percentiles are of the lags of all units.

    As `_penalised` again with |X| for each output that omits its reference.
    """
    heard = [m for m in measured if m.output.source_ms > 0]
    outputs, rows = [m.output for m in heard], [m.scores for m in heard]
    penalised = {f"{name}_penalised": value for name, value in penalised_scores(outputs, rows).items()}
    return mean_scores(rows) | pooled_lags(outputs) | penalised


def scored_point(point: CurvePoint, measured: Sequence[MeasuredUtterance], tgt_lang: str) -> ScoredPoint:
    """A point with its evidence again: what a bootstrap resamples, and scores of a run do not keep."""
    texts = [m.trace.text for m in measured]
    return ScoredPoint(
        point=point,
        bleu_stats=bleu_statistics(texts, [m.references for m in measured], lang=tgt_lang),
        laal_ms=np.array([m.scores.get("LAAL", math.nan) for m in measured]),
    )


def write_exports(data: ReportData, measured: Iterable[MeasuredUtterance], directory: Path) -> None:
    """Write points, curves, differences and utterances.csv; policies, timed and neural.csv if they have rows.

    The pictures are curves.svg and policies.svg, each with its PNG where `why_no_png` finds nothing missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_csv(directory / "points.csv", map(_point_cells, table_rows(data)))
    bands = chain(_band_cells(data.spread), _band_cells(data.policy_spread, besides=data.curves))
    write_csv(directory / "curves.csv", bands)
    write_csv(directory / "differences.csv", chain(_equal_latency_cells(data), _same_chunk_cells(data)))
    write_csv(directory / "utterances.csv", map(_utterance_cells, measured))
    _write_or_remove(directory / "policies.csv", map(_point_cells, policy_rows(data)))
    _write_or_remove(directory / "timed.csv", map(_timed_cells, data.timed))
    _write_or_remove(directory / "neural.csv", map(asdict, data.neural))
    chart = quality_latency_chart(data.curves, data.ceiling, data.spread)
    panels = policy_panels(data.policies, data.ceiling, data.policy_spread)
    title = f"{data.title}: BLEU over LAAL"
    _write_picture(directory / "curves.svg", chart_svg(chart, title) if chart else None)
    _write_picture(directory / "policies.svg", panels_svg(panels, f"{title}, by policy") if panels else None)


def _write_or_remove(path: Path, rows: Iterable[Cells]) -> None:
    """A table without rows is not written, nor left from another run."""
    found = list(rows)
    if found:
        write_csv(path, found)
    else:
        path.unlink(missing_ok=True)


def _write_picture(path: Path, svg: str | None) -> None:
    """Write a picture and its PNG; one that cannot be made is not left from another run."""
    files = {path: None if svg is None else svg.encode()}
    files[path.with_suffix(".png")] = None if svg is None or why_no_png() else svg_to_png(svg)
    for file, content in files.items():
        if content is None:
            file.unlink(missing_ok=True)
        else:
            write_bytes(file, content)


def write_csv(path: Path, rows: Iterable[Cells]) -> None:
    """Write rows of named cells, replacing the file whole or not at all; columns in order of appearance."""
    table = [{name: _cell(value) for name, value in row.items()} for row in rows]
    names = dict.fromkeys(name for row in table for name, value in row.items() if value != "")
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)


def _measure(
    system: str, knob: str, trace: StreamTrace, utterance: SpokenUtterance, unit: Unit
) -> MeasuredUtterance:
    output = timed_output(trace, utterance.references[0], unit, queue_clock)
    return MeasuredUtterance(
        system=system,
        knob=knob,
        trace=trace,
        output=output,
        references=utterance.references,
        chrf=sentence_chrf(trace.text, utterance.references),
        scores=_scores(trace, output, utterance, unit) if output.source_ms > 0 else {},
    )


def _scores(trace: StreamTrace, output: TimedOutput, utterance: SpokenUtterance, unit: Unit) -> Scores:
    order = word_order(split_units(trace.text, unit), [split_units(r, unit) for r in utterance.references])
    return utterance_scores(output) | effort_scores(trace, unit) | asdict(order)


def _point_cells(row: TableRow) -> Cells:
    point = row.point.to_json()
    head = {"system": row.system, "policy": row.policy, "knob": row.knob}
    cells = {**head, "chunk_ms": point.pop("chunk_ms"), **point}
    if row.spread:
        cells |= {
            "bleu_low": row.spread.bleu.low,
            "bleu_high": row.spread.bleu.high,
            "laal_low_ms": row.spread.laal_ms.low,
            "laal_high_ms": row.spread.laal_ms.high,
            "on_front": row.spread.on_front,
            "front_share": row.spread.front_share,
        }
    cells |= {badge.rules.edition.replace(" ", "_").lower(): badge.regime for badge in row.badges}
    return cells | dict(row.scores)


def _timed_cells(point: TimedPoint) -> Cells:
    head = {"system": point.system, "chunk_ms": point.chunk_ms, "n_utterances": point.n_utterances}
    return {**head, **point.scores}


def _band_cells(spread: Spread | None, besides: Container[str] = ()) -> Iterator[Cells]:
    """Quality at fixed latencies of all curves but those `besides`."""
    bands = spread.bands if spread else {}
    for name in (name for name in bands if name not in besides):
        band = bands[name]
        for laal_ms, bleu, low, high in zip(band.laal_ms, band.bleu, band.low, band.high, strict=True):
            yield {"system": name, "laal_ms": laal_ms, "bleu": bleu, "bleu_low": low, "bleu_high": high}


def _equal_latency_cells(data: ReportData) -> Iterator[Cells]:
    for point in data.equal_latency:
        for name, d in point.differences.items():
            yield {"difference": name, "at": "laal_ms", "value": point.laal_ms, "bleu": d.diff,
                   "bleu_low": d.low, "bleu_high": d.high}  # fmt: skip


def _same_chunk_cells(data: ReportData) -> Iterator[Cells]:
    for same in data.spread.same_chunk if data.spread else ():
        yield {
            "difference": f"simulsa_minus_{same.rival}", "at": "chunk_ms", "value": same.chunk_ms,
            "bleu": same.bleu.diff, "bleu_low": same.bleu.low, "bleu_high": same.bleu.high,
            "laal_ms": same.laal_ms.diff, "laal_low_ms": same.laal_ms.low, "laal_high_ms": same.laal_ms.high,
            "share_better_and_no_later": same.both,
        }  # fmt: skip


def _utterance_cells(measured: MeasuredUtterance) -> Cells:
    trace = measured.trace
    return {
        "system": measured.system, "knob": measured.knob, "chunk_ms": trace.chunk_ms,
        "id": trace.id, "source_ms": trace.source_ms, "text": trace.text,
        "reference": measured.references[0], "failure": trace.failure,
        "cap_hits": trace.cap_hits, "chrf": measured.chrf, **measured.scores,
    }  # fmt: skip


def _cell(value: Any) -> Any:
    """Numbers to six decimals; nothing for None and nan; text that no spreadsheet computes."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    return round(value, 6) if isinstance(value, float) else value
