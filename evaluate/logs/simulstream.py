"""simulstream's JSONL: a metadata row per recording, then a row per step, silent ones included.

Times in the file are seconds. Rows of other kinds, such as the time a model took to load, say nothing about
output and are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from evaluate.latency.clocks import emission_steps
from evaluate.logs.entry import Log, LogEntry, by_line
from evaluate.logs.fields import Fields, read_objects
from evaluate.logs.findings import Finding
from evaluate.trace import Step, StreamTrace
from evaluate.units import Unit, align_pieces

_STEP_FIELDS = frozenset({"total_audio_processed", "computation_time", "generated_tokens", "deleted_tokens"})
_BYTE_LEVEL_SPACE = "\u0120"
"""How byte-level tokenizers write a space; also a Maltese letter, so one alone proves nothing."""


@dataclass(slots=True, kw_only=True)
class _Recording:
    """What has been read of one recording."""

    line: int
    stem: str
    steps: list[Step] = field(default_factory=list)
    standing: list[str] = field(default_factory=list)


def read_simulstream(path: Path, unit: Unit) -> Log:
    """A simulstream log as entries, in the order of its metadata rows."""
    findings: list[Finding] = []
    recordings: dict[str, _Recording] = {}
    for fields in read_objects(path, findings):
        if "metadata" in fields.value:
            _open_recording(fields, recordings)
        elif "id" in fields.value or _STEP_FIELDS & fields.value.keys():
            _add_step(fields, recordings)
    for recording in recordings.values():
        _check_readable(recording, findings)
    entries = [_entry(i, id_, recording, unit) for i, (id_, recording) in enumerate(recordings.items())]
    return Log(format="simulstream", entries=tuple(entries), findings=by_line(findings))


def write_simulstream(traces: Sequence[tuple[str, StreamTrace]]) -> bytes:
    """The bytes of a log of (wav name, trace) pairs; a step whose compute is unknown says 0."""
    rows = [
        row for number, (wav_name, trace) in enumerate(traces) for row in trace_rows(number, wav_name, trace)
    ]
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def trace_rows(number: int, wav_name: str, trace: StreamTrace) -> Iterator[dict[str, Any]]:
    """The metadata row of a trace and one row per step; our own traces write whole units as tokens."""
    yield {"id": number, "metadata": {"wav_name": wav_name}}
    standing: list[str] = []
    for step, pieces in zip(trace.steps, _written(trace), strict=True):
        kept = len(standing) - step.erased
        yield {
            "id": number,
            "total_audio_processed": step.audio_ms / 1000,
            "computation_time": step.compute_s or 0.0,
            "generated_tokens": list(pieces),
            "deleted_tokens": standing[kept:],
        }
        standing[kept:] = pieces


def _written(trace: StreamTrace) -> list[tuple[str, ...]]:
    """What each step appended, in text."""
    if any(step.pieces for step in trace.steps):
        return [step.pieces for step in trace.steps]
    written: list[tuple[str, ...]] = [()] * len(trace.steps)
    for number, emission in zip(emission_steps(trace), trace.emissions, strict=True):
        written[number] = (*written[number], emission.unit)
    return written


def _open_recording(fields: Fields, recordings: dict[str, _Recording]) -> None:
    id_ = _id(fields)
    metadata = fields.value["metadata"]
    if not isinstance(metadata, dict):
        fields.report("metadata", "wrong_type", metadata)
        return
    inner = Fields(line=fields.line, value=metadata, findings=fields.findings)
    wav_name = inner.text("wav_name")
    if id_ is None or wav_name is None:
        return
    stem = PurePosixPath(wav_name).stem
    twice = recordings.get(id_) or next((r for r in recordings.values() if r.stem == stem), None)
    if twice is not None:
        fields.report("id", "duplicate_id", f"{id_} ({wav_name}), first on line {twice.line}")
        return
    recordings[id_] = _Recording(line=fields.line, stem=stem)


def _add_step(fields: Fields, recordings: dict[str, _Recording]) -> None:
    id_ = _id(fields)
    audio_s = fields.number("total_audio_processed", at_least=0)
    compute_s = fields.number("computation_time", at_least=0)
    generated = fields.texts("generated_tokens")
    deleted = fields.texts("deleted_tokens")
    if id_ is not None and id_ not in recordings:
        fields.report("id", "no_metadata", id_)
    recording = recordings.get(id_ or "")
    if recording is None or audio_s is None or compute_s is None or generated is None or deleted is None:
        return
    audio_ms = audio_s * 1000
    heard_ms = recording.steps[-1].audio_ms if recording.steps else 0.0
    kept = len(recording.standing) - len(deleted)
    if audio_ms < heard_ms:
        fields.report("total_audio_processed", "audio_decreases", f"{heard_ms / 1000}, then {audio_s}")
    elif kept < 0 or tuple(recording.standing[kept:]) != deleted:
        tail = recording.standing[-len(deleted) :]
        fields.report("deleted_tokens", "erased_unwritten", f"{list(deleted)}, but {tail} stand")
    else:
        recording.standing[kept:] = generated
        recording.steps.append(
            Step(audio_ms=audio_ms, token_ids=(), compute_s=compute_s, pieces=generated, erased=len(deleted))
        )


def _id(fields: Fields) -> str | None:
    """Ids are numbers or strings; 1 and "1" are one id."""
    value = fields.value.get("id")
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        return fields.text("id") if isinstance(value, str) else _digits(fields, value)
    fields.report("id", "missing_field" if value is None else "wrong_type", value)
    return None


def _digits(fields: Fields, value: int) -> str | None:
    if abs(value) >= 1 << 63:
        fields.report("id", "out_of_range", f"a number of {value.bit_length()} bits")
        return None
    return str(value)


def _check_readable(recording: _Recording, findings: list[Finding]) -> None:
    pieces = [piece for step in recording.steps for piece in step.pieces]
    marked = [piece for piece in pieces if piece.startswith(_BYTE_LEVEL_SPACE)]
    if len(marked) * 4 > len(pieces):
        fields = Fields(line=recording.line, value={}, findings=findings)
        fields.report("generated_tokens", "tokenizer_needed", marked[0])


def _entry(position: int, id_: str, recording: _Recording, unit: Unit) -> LogEntry:
    text, emissions = align_pieces(recording.steps, unit)
    trace = StreamTrace(
        id=id_,
        chunk_ms=None,
        source_ms=recording.steps[-1].audio_ms if recording.steps else 0.0,
        text=text,
        emissions=emissions,
        steps=tuple(recording.steps),
        failure=None if recording.steps else "no_steps: the log has a metadata row and nothing else",
    )
    return LogEntry(
        line=recording.line,
        position=position,
        trace=trace,
        recording=recording.stem,
        reference=None,
    )
