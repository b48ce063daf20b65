"""The numbers and the picture of a report as files for other programs: CSV of all scores, the curves as SVG.

Plain CSV in UTF-8: a value that does not exist is an empty cell, and a column without any value is left out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from augment.atomic import replaced, write_bytes
from evaluate.curves import CurvePoint, ScoredPoint
from evaluate.latency import queue_clock
from evaluate.latency.scores import Scores, effort_scores, mean_scores, penalised_scores, utterance_scores
from evaluate.latency.timed import TimedOutput, timed_output
from evaluate.quality import bleu_statistics
from evaluate.report.charts import quality_latency_chart
from evaluate.report.data import ReportData
from evaluate.report.page import chart_svg
from evaluate.report.rows import TableRow, table_rows
from evaluate.report.sentence import sentence_chrf
from evaluate.session import SpokenUtterance
from evaluate.trace import StreamTrace
from evaluate.units import Unit

Cells = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredUtterance:
    """One system's output for one utterance, with its chrF and every latency metric."""

    system: str
    trace: StreamTrace
    output: TimedOutput
    references: tuple[str, ...]
    chrf: float
    scores: Scores


def measure_utterances(
    system: str, traces: Sequence[StreamTrace], utterances: Sequence[SpokenUtterance], unit: Unit
) -> list[MeasuredUtterance]:
    """Every metric of every utterance; one without audio has no latency."""
    return [
        _measure(system, trace, utterance, unit) for trace, utterance in zip(traces, utterances, strict=True)
    ]


def corpus_latency(measured: Sequence[MeasuredUtterance]) -> Scores:
    """The mean of every metric, and as `_penalised` again with |X| for each output that omits its reference."""
    heard = [m for m in measured if m.output.source_ms > 0]
    penalised = penalised_scores([m.output for m in heard], [m.scores for m in heard])
    return mean_scores([m.scores for m in heard]) | {
        f"{name}_penalised": value for name, value in penalised.items()
    }


def scored_point(point: CurvePoint, measured: Sequence[MeasuredUtterance], tgt_lang: str) -> ScoredPoint:
    """A point with its evidence again: what a bootstrap resamples, and scores of a run do not keep."""
    texts = [m.trace.text for m in measured]
    return ScoredPoint(
        point=point,
        bleu_stats=bleu_statistics(texts, [m.references for m in measured], lang=tgt_lang),
        laal_ms=np.array([m.scores.get("LAAL", math.nan) for m in measured]),
    )


def write_exports(data: ReportData, measured: Iterable[MeasuredUtterance], directory: Path) -> None:
    """Write points.csv, curves.csv, differences.csv and utterances.csv, and curves.svg where there is a chart."""
    directory.mkdir(parents=True, exist_ok=True)
    write_csv(directory / "points.csv", (_point_cells(row) for row in table_rows(data)))
    write_csv(directory / "curves.csv", _band_cells(data))
    write_csv(directory / "differences.csv", chain(_equal_latency_cells(data), _same_chunk_cells(data)))
    write_csv(directory / "utterances.csv", map(_utterance_cells, measured))
    chart = quality_latency_chart(data.curves, data.ceiling, data.spread)
    if chart:
        title = f"{data.title}: BLEU over LAAL"
        write_bytes(directory / "curves.svg", chart_svg(chart, title).encode())
    else:
        (directory / "curves.svg").unlink(missing_ok=True)  # of another run's points


def write_csv(path: Path, rows: Iterable[Cells]) -> None:
    """Write rows of named cells, replacing the file whole or not at all; columns in order of appearance."""
    table = [{name: _cell(value) for name, value in row.items()} for row in rows]
    names = dict.fromkeys(name for row in table for name, value in row.items() if value != "")
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)


def _measure(system: str, trace: StreamTrace, utterance: SpokenUtterance, unit: Unit) -> MeasuredUtterance:
    output = timed_output(trace, utterance.references[0], unit, queue_clock)
    return MeasuredUtterance(
        system=system,
        trace=trace,
        output=output,
        references=utterance.references,
        chrf=sentence_chrf(trace.text, utterance.references),
        scores=utterance_scores(output) | effort_scores(trace, unit) if output.source_ms > 0 else {},
    )


def _point_cells(row: TableRow) -> Cells:
    point = row.point.to_json()
    cells = {"system": row.system, "chunk_ms": point.pop("chunk_ms"), **point}
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
    return cells | dict(row.latency)


def _band_cells(data: ReportData) -> Iterator[Cells]:
    """Quality at fixed latencies."""
    for system, band in data.spread.bands.items() if data.spread else ():
        for laal_ms, bleu, low, high in zip(band.laal_ms, band.bleu, band.low, band.high, strict=True):
            yield {"system": system, "laal_ms": laal_ms, "bleu": bleu, "bleu_low": low, "bleu_high": high}


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
        "system": measured.system, "chunk_ms": trace.chunk_ms, "id": trace.id, "source_ms": trace.source_ms,
        "text": trace.text, "reference": measured.references[0], "failure": trace.failure,
        "cap_hits": trace.cap_hits, "chrf": measured.chrf, **measured.scores,
    }  # fmt: skip


def _cell(value: Any) -> Any:
    """Numbers to six decimals; nothing for None and nan."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return round(value, 6) if isinstance(value, float) else value
