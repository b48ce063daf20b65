"""SimulEval's `instances.log`: a JSON line per utterance, a delay and an elapsed time per unit.

It stores units, not steps: units with equal times were one write, and the compute of silent steps is counted with
the write that followed. So a queue clock on it is an upper bound, as that compute may have filled a wait.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from evaluate.latency.clocks import knows_compute, unit_times
from evaluate.latency.compat.clocks import simuleval_clock
from evaluate.logs.entry import Log, LogEntry, by_line
from evaluate.logs.fields import Fields, read_objects
from evaluate.logs.findings import Finding, finding
from evaluate.logs.rules import check_instance
from evaluate.trace import Emission, Step, StreamTrace
from evaluate.units import Unit, split_units


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One line: times in ms; `elapsed` is the delay and all compute so far (None: not measured)."""

    index: int
    prediction: str
    delays: tuple[float, ...]
    elapsed: tuple[float, ...] | None
    source_length: float
    reference: str | None = None
    source: str | None = None

    @property
    def unit(self) -> Unit:
        """What the delays count: words, unless only characters are as many."""
        words = split_units(self.prediction, "word")
        return "word" if len(words) == len(self.delays) else "char"

    def to_trace(self) -> StreamTrace:
        """The writes of this utterance as the steps of a trace; there are no silent ones."""
        units = split_units(self.prediction, self.unit)
        steps: list[Step] = []
        emissions: list[Emission] = []
        spent_ms = 0.0
        times = [(d, self.elapsed[i] if self.elapsed else d) for i, d in enumerate(self.delays)]
        for (delay, elapsed), write in groupby(range(len(times)), key=times.__getitem__):
            numbers = list(write)
            written = tuple(units[i] for i in numbers)
            compute_s = None if self.elapsed is None else (elapsed - delay - spent_ms) / 1000
            spent_ms = elapsed - delay
            emissions += [Emission(unit=unit, delay_ms=delay, step=len(steps)) for unit in written]
            steps.append(Step(audio_ms=delay, token_ids=(), pieces=written, compute_s=compute_s))
        return StreamTrace(
            id=str(self.index), chunk_ms=None, source_ms=self.source_length, text=self.prediction.strip(),
            emissions=tuple(emissions), steps=tuple(steps),
        )  # fmt: skip

    @classmethod
    def from_trace(
        cls, trace: StreamTrace, *, index: int, reference: str | None = None, source: str | None = None
    ) -> Instance:
        """The line that says what a trace says, on SimulEval's own clock; a failed trace is an empty prediction."""
        return cls(
            index=index,
            prediction=trace.text,
            delays=trace.delays_ms,
            elapsed=unit_times(trace, simuleval_clock) if knows_compute(trace) else None,
            source_length=trace.source_ms,
            reference=reference,
            source=source,
        )

    def to_json(self) -> dict[str, Any]:
        """The fields that SimulEval writes; what is not known is left out."""
        value = {
            "index": self.index,
            "prediction": self.prediction,
            "delays": list(self.delays),
            "elapsed": None if self.elapsed is None else list(self.elapsed),
            "prediction_length": len(self.delays),
            "reference": self.reference,
            "source": self.source,
            "source_length": self.source_length,
        }
        return {name: part for name, part in value.items() if part is not None}


def write_instances(instances: Sequence[Instance]) -> bytes:
    """The bytes of an `instances.log`."""
    lines = [json.dumps(instance.to_json(), ensure_ascii=False, allow_nan=False) for instance in instances]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def read_instances(path: Path) -> tuple[list[tuple[int, Instance]], tuple[Finding, ...]]:
    """Every readable instance with its line, and everything that is wrong with the file."""
    findings: list[Finding] = []
    read = []
    seen: dict[int, int] = {}
    for fields in read_objects(path, findings):
        instance = _instance(fields)
        if instance is None:
            continue
        if instance.index in seen:
            fields.report("index", "duplicate_id", f"{instance.index}, first on line {seen[instance.index]}")
            continue
        seen[instance.index] = fields.line
        read.append((fields.line, instance))
    findings += _gaps(seen)
    return read, by_line(findings)


def read_simuleval(path: Path) -> Log:
    """An `instances.log` as entries."""
    read, findings = read_instances(path)
    entries = [
        LogEntry(
            line=line, position=instance.index, trace=instance.to_trace(), reference=instance.reference,
            recording=PurePosixPath(instance.source or str(instance.index)).stem,
        )
        for line, instance in read
    ]  # fmt: skip
    return Log(format="simuleval", entries=tuple(entries), findings=findings)


def _instance(fields: Fields) -> Instance | None:
    """The instance of a line, or None when a finding says that there is none."""
    before = len(fields.findings)
    index = fields.integer("index")
    prediction = fields.text("prediction")
    delays = fields.numbers("delays")
    elapsed = fields.numbers("elapsed") if fields.value.get("elapsed") is not None else None
    source_length = fields.number("source_length", above=0)
    reference = fields.optional_text("reference")
    source = _source(fields)
    if prediction is not None and delays is not None:
        check_instance(fields, prediction, delays, elapsed)
    fatal = any(found.rule != "compute_decreases" for found in fields.findings[before:])
    if fatal or index is None or prediction is None or delays is None or source_length is None:
        return None
    return Instance(
        index=index, prediction=prediction, delays=delays, elapsed=elapsed,
        source_length=source_length, reference=reference, source=source,
    )  # fmt: skip


def _source(fields: Fields) -> str | None:
    """SimulEval writes the audio's path, alone or as the first of a list."""
    value = fields.value.get("source")
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, str):
        return first
    if value not in (None, []):
        fields.report("source", "wrong_type", value)
    return None


def _gaps(lines: dict[int, int]) -> list[Finding]:
    """A finding for every hole between two indices, on the line of the upper one."""
    ordered = sorted(lines)
    return [
        finding(lines[after], "index", "missing_utterance", _range(before + 1, after - 1))
        for before, after in pairwise(ordered)
        if after > before + 1
    ]


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
