"""Any log that simulsa can read: SimulEval's, simulstream's, or traces of its own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from evaluate.latency.clocks import emission_steps
from evaluate.latency.lagging import check_delays
from evaluate.logs.entry import Log, LogEntry, by_line
from evaluate.logs.fields import Fields, read_objects
from evaluate.logs.findings import Finding, LogError
from evaluate.logs.simuleval import read_simuleval
from evaluate.logs.simulstream import read_simulstream
from evaluate.trace import StreamTrace
from evaluate.units import Unit, split_units

Format = Literal["simuleval", "simulstream", "simulsa"]
_MARKS: dict[Format, frozenset[str]] = {
    "simulsa": frozenset({"emissions", "steps"}),
    "simuleval": frozenset({"index", "prediction", "delays", "elapsed"}),
    "simulstream": frozenset({"metadata", "total_audio_processed", "generated_tokens", "model_loading_time"}),
}


def read_log(path: Path, unit: Unit) -> Log:
    """Everything a log holds and everything that is wrong with it; `unit` cuts simulstream's text.

    Raises LogError only where no line shows which toolkit wrote the file.
    """
    match detect_format(path):
        case "simuleval":
            return read_simuleval(path)
        case "simulstream":
            return read_simulstream(path, unit)
        case "simulsa":
            return _read_own(path)


def counted_unit(log: Log) -> Unit:
    """What the delays of a log count: words, unless some text has another number of those."""
    traces = [entry.trace for entry in log.entries]
    words = all(len(split_units(trace.text, "word")) == len(trace.emissions) for trace in traces)
    return "word" if words else "char"


def detect_format(path: Path) -> Format:
    """The toolkit whose fields the first telling line has."""
    for fields in read_objects(path, []):
        for name, marks in _MARKS.items():
            if marks & fields.value.keys():
                return name
    raise LogError(
        f"{path} is no log that can be read: give SimulEval's instances.log (fields index, prediction, delays), "
        "simulstream's JSONL (metadata, total_audio_processed) or simulsa's traces.jsonl (emissions, steps)"
    )


def _read_own(path: Path) -> Log:
    findings: list[Finding] = []
    entries: list[LogEntry] = []
    lines: dict[str, int] = {}
    for fields in read_objects(path, findings):
        trace = _own_trace(fields)
        if trace is None:
            continue
        if trace.id in lines:
            fields.report("id", "duplicate_id", f"{trace.id}, first on line {lines[trace.id]}")
            continue
        lines[trace.id] = fields.line
        entries.append(
            LogEntry(line=fields.line, position=len(entries), trace=trace, recording=trace.id, reference=None)
        )
    return Log(format="simulsa", entries=tuple(entries), findings=by_line(findings))


def _own_trace(fields: Fields) -> StreamTrace | None:
    try:
        trace = StreamTrace.from_json(fields.value)
        _check_types(trace)
        check_delays(trace.delays_ms, trace.source_ms if trace.emissions else 1.0)
        emission_steps(trace)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        fields.report(None, "not_a_trace", f"{type(error).__name__}: {error}")
        return None
    return trace


def _check_types(trace: StreamTrace) -> None:
    """Raise TypeError or ValueError where a field cannot be scored."""
    times = [trace.source_ms, *trace.delays_ms, *(step.audio_ms for step in trace.steps)]
    compute = [step.compute_s for step in trace.steps if step.compute_s is not None]
    if not all(math.isfinite(time) and time >= 0 for time in times + compute):
        raise ValueError("times are finite and at least 0")
    pieces = [piece for step in trace.steps for piece in step.pieces]
    units = [emission.unit for emission in trace.emissions]
    if not all(
        isinstance(text, str) for text in (trace.id, trace.text, trace.failure or "", *pieces, *units)
    ):
        raise TypeError("id, text, failure, pieces and units are strings")
    counts = [
        trace.chunk_ms or 0,
        *(n for step in trace.steps for n in (*step.token_ids, step.erased, step.capped)),
    ]
    if not all(isinstance(count, int) for count in counts):
        raise TypeError("chunk_ms, token_ids and erased are whole numbers, capped is true or false")
    named = [emission.step for emission in trace.emissions if emission.step is not None]
    if any(index not in range(len(trace.steps)) for index in named):
        raise ValueError("an emission's step is the index of a step")
    if any(step.erased < 0 for step in trace.steps):
        raise ValueError("a step erases no fewer than 0 pieces")
