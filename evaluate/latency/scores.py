"""All metrics of an utterance, a segment and a corpus, under the names that tables use.

Milliseconds, but for AP, NumChunks, RTF and normalized_erasure. A name that ends in `_CA` is the same metric on
computation-aware times. nan says that a value does not exist: nothing was written, or compute is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from evaluate.latency.atd import average_token_delay
from evaluate.latency.clocks import queue_clock
from evaluate.latency.dal import differentiable_average_lagging
from evaluate.latency.effort import normalized_erasure, num_chunks, real_time_factor
from evaluate.latency.lagging import average_lagging, length_adaptive_lagging, unit_lags
from evaluate.latency.offsets import end_offset, lag_percentiles, start_offset
from evaluate.latency.proportion import average_proportion
from evaluate.latency.timed import TimedOutput, timed_output
from evaluate.latency.yaal import long_yaal, yaal
from evaluate.trace import StreamTrace
from evaluate.units import Unit

Times = Sequence[float]
Scores = dict[str, float]
PENALISED = ("AL", "LAAL", "DAL", "StreamLAAL", "LongAL", "LongDAL")
"""Metrics of which an omitted output costs |X|: what they give when every unit comes at the end."""


def utterance_scores(output: TimedOutput) -> Scores:
    """Every metric of one utterance, twice: on its delays, and as `_CA` on its computation-aware times."""
    return _on_both_clocks(output, _utterance_metrics)


def segment_scores(output: TimedOutput) -> Scores:
    """Every metric of one segment of a recording, on both clocks; StreamLAAL is the segment's LAAL."""
    return _on_both_clocks(output, _segment_metrics)


def recording_scores(output: TimedOutput) -> Scores:
    """When a whole recording's output began and ended, on both clocks."""
    return _on_both_clocks(output, _offsets)


def effort_scores(trace: StreamTrace, unit: Unit) -> Scores:
    """NumChunks, RTF and normalized_erasure of one trace."""
    return {
        "NumChunks": num_chunks(trace.steps),
        "RTF": real_time_factor(trace.steps, trace.source_ms),
        "normalized_erasure": normalized_erasure([trace], unit),
    }


def mean_scores(rows: Sequence[Mapping[str, float]]) -> Scores:
    """The mean of each metric over the rows that have a value."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _mean(row[name] for row in rows) for name in names}


def penalised_scores(outputs: Sequence[TimedOutput], rows: Sequence[Mapping[str, float]]) -> Scores:
    """The means again, with |X| for every output that omits what its reference says."""
    plain = [name for name in (rows[0] if rows else ()) if name.removesuffix("_CA") in PENALISED]
    return {
        name: _mean(
            output.source_ms if output.omits else row[name] for output, row in zip(outputs, rows, strict=True)
        )
        for name in plain
        if any(not math.isnan(row[name]) for row in rows) or not name.endswith("_CA")
    }


def pooled_lags(outputs: Sequence[TimedOutput]) -> Scores:
    """Percentiles of the lags of all units of a corpus, on both clocks."""
    lags = [lag for output in outputs for lag in _lags(output.delays_ms, output)]
    aware = [lag for output in outputs for lag in _lags(output.aware_ms or (), output)]
    return lag_percentiles(lags) | {f"{name}_CA": value for name, value in lag_percentiles(aware).items()}


def pooled_effort(traces: Sequence[StreamTrace], unit: Unit) -> Scores:
    """NumChunks per trace, RTF over all audio that was streamed to its end, and erasure over all units of a corpus."""
    done = [trace for trace in traces if trace.failure is None]
    steps = [step for trace in done for step in trace.steps]
    return {
        "NumChunks": _mean(num_chunks(trace.steps) for trace in traces),
        "RTF": real_time_factor(steps, math.fsum(trace.source_ms for trace in done)),
        "normalized_erasure": normalized_erasure(traces, unit),
    }


def corpus_scores(traces: Sequence[StreamTrace], references: Sequence[str], unit: Unit) -> Scores:
    """Every corpus-level value of a system's traces, on the queue clock where their compute is known.

    Means leave out what was left empty; percentiles are over all units, RTF is over all audio but that of failures.
    """
    outputs = [
        timed_output(trace, reference, unit, queue_clock)
        for trace, reference in zip(traces, references, strict=True)
    ]
    rows = [utterance_scores(output) for output in outputs if output.source_ms > 0]
    return mean_scores(rows) | pooled_lags(outputs) | pooled_effort(traces, unit)


def _on_both_clocks(output: TimedOutput, metrics: Callable[[Times, TimedOutput], Scores]) -> Scores:
    scores = metrics(output.delays_ms, output)
    aware = metrics(output.aware_ms or (), output)
    return {
        key: value for name in scores for key, value in ((name, scores[name]), (f"{name}_CA", aware[name]))
    }


def _utterance_metrics(times_ms: Times, output: TimedOutput) -> Scores:
    delays_ms = output.delays_ms if times_ms else ()
    return _lagging_metrics(times_ms, output) | {
        "ATD": average_token_delay(delays_ms, times_ms),
        "YAAL": yaal(times_ms, output.source_ms, output.reference_units),
        **_offsets(times_ms, output),
        **lag_percentiles(_lags(times_ms, output)),
    }


def _segment_metrics(times_ms: Times, output: TimedOutput) -> Scores:
    lagging = _lagging_metrics(times_ms, output)
    reference_units, end_ms = output.reference_units, output.recording_end_ms
    return {
        "StreamLAAL": lagging["LAAL"],
        "LongYAAL": long_yaal(times_ms, output.source_ms, reference_units, end_ms),
        **{f"Long{name}": lagging[name] for name in ("AL", "DAL", "AP")},
        **lag_percentiles(_lags(times_ms, output)),
    }


def _lagging_metrics(times_ms: Times, output: TimedOutput) -> Scores:
    source_ms, reference_units = output.source_ms, output.reference_units
    return {
        "AL": average_lagging(times_ms, source_ms, reference_units),
        "LAAL": length_adaptive_lagging(times_ms, source_ms, reference_units),
        "DAL": differentiable_average_lagging(times_ms, source_ms),
        "AP": average_proportion(times_ms, source_ms),
    }


def _offsets(times_ms: Times, output: TimedOutput) -> Scores:
    return {"StartOffset": start_offset(times_ms), "EndOffset": end_offset(times_ms, output.source_ms)}


def _lags(times_ms: Times, output: TimedOutput) -> list[float]:
    return unit_lags(times_ms, output.source_ms, output.reference_units) if times_ms else []


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
