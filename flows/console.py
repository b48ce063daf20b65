"""What a person sees while a run works: one line per stage on stderr, never on stdout."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tasks.store import Manifest

STDERR = Console(stderr=True, highlight=False)
JSON_LINES = "SIMULSA_LOG_JSON"


def wants_json_lines() -> bool:
    """Whether the environment asks for JSON lines on stderr instead of progress for a person."""
    return os.environ.get(JSON_LINES, "") not in ("", "0")


class ConsoleReporter:
    """Draws one progress line per stage part; on a pipe, prints one plain line when a part ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live = Progress(
            TextColumn("  {task.description:<24}"), BarColumn(bar_width=28), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[note]}"), console=STDERR,
        )  # fmt: skip
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._draws = STDERR.is_terminal
        self._told: set[tuple[str, str]] = set()

    def __enter__(self) -> ConsoleReporter:
        if self._draws:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._draws:
            self._live.stop()

    def started(self, stage: str, part: str) -> None:
        with self._lock:
            task = self._live.add_task(f"{stage} {part}", total=None, note="", visible=self._draws)
            self._tasks[stage, part] = task

    def advanced(self, stage: str, part: str, done: int, total: int) -> None:
        self._live.update(self._tasks[stage, part], completed=done, total=total or None, note="")

    def waiting(self, stage: str, part: str, reason: str) -> None:
        self._live.update(self._tasks[stage, part], note=reason)
        if not self._draws and (stage, part) not in self._told:
            self._told.add((stage, part))
            print(f"  {stage} {part}: {reason}", file=sys.stderr)

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None:  # noqa: ARG002
        self.ended(stage, part, "cached" if made.cached else "done")

    def failed(self, stage: str, part: str, error: BaseException) -> None:  # noqa: ARG002
        self.ended(stage, part, "failed")

    def ended(self, stage: str, part: str, note: str) -> None:
        """A part is over, and `note` says how; also for work that is no stage."""
        task = self._tasks[stage, part]
        total = self._live.tasks[task].total or 1
        if note != "failed":
            self._live.update(task, completed=total, total=total)
        self._live.update(task, note=note)
        self._live.stop_task(task)
        if not self._draws:
            seconds = self._live.tasks[task].elapsed or 0.0
            print(f"  {stage} {part}: {note} in {seconds:.1f} s", file=sys.stderr)
