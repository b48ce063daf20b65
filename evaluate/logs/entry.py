"""One utterance or recording of a log, whichever toolkit wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluate.logs.findings import Finding
from evaluate.trace import StreamTrace


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A trace, the stem of the recording it heard, and the reference where the log has one.

    `line` is where the log says it, `position` the line of a references file that belongs to it, from 0.
    """

    line: int
    position: int
    trace: StreamTrace
    recording: str
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The entries that could be read, in order, and everything that is wrong."""

    format: str
    entries: tuple[LogEntry, ...]
    findings: tuple[Finding, ...]


def by_line(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings in the order of the file."""
    return tuple(sorted(findings, key=lambda found: found.line))
