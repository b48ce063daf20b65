"""The record of a run: outputs/<name>/runs/<run id>.jsonl, one event a line, appended as things happen.

A run holds a lock on its record for as long as its process lives. So a record without an end that nobody holds is of a
run that was killed, and no heartbeat is needed to know it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from flows.interrupt import STOPPING
from lalm.errors import SimulsaError
from tasks.reporting import SilentReporter, StageClock
from tasks.store import Manifest, Store, StoreError, fingerprint

if TYPE_CHECKING:
    from flows.config import RunConfig  # this module is also for commands that only look, and must start fast

LOG = logging.getLogger("simulsa")
RECORDS = "runs"
PROGRESS_EVERY_S = 5.0
REMEMBER_EVERY_S = 3600.0

Ending = Literal["completed", "nothing_new", "failed", "stopped"]


class HistoryError(SimulsaError):
    """A run that is not known, or a record that cannot be read."""


class RunRecord(SilentReporter):
    """Writes the record of the run in progress; a context manager whose end is the end of the run.

    A record that cannot be begun is a HistoryError; later, an event that finds no room is lost with a warning.
    `ending` is how a run without an error ends. It asks `clock` what a part did, so the clock must hear of it first.
    """

    def __init__(
        self, config: RunConfig, command: str, clock: StageClock, again_from: str | None = None
    ) -> None:
        self.id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        self.ending: Ending = "completed"
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._told: dict[tuple[str, str], float] = {}
        directory = config.run_dir / RECORDS
        directory.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        path = directory / f"{self.id}.jsonl"
        self._file = os.open(path, flags, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        configuration = config.model_dump(mode="json")
        try:
            self._append(
                "started", run=self.id, name=config.name, command=command, pid=os.getpid(), host=platform.node(),
                version=version("simulsa"), hardware=asdict(clock.hardware), again_from=again_from,
                digest=fingerprint(configuration), configuration=configuration,
            )  # fmt: skip
        except OSError as error:
            self._close()
            raise HistoryError(f"the record of this run cannot be written to {path}: {error}") from error

    def __enter__(self) -> RunRecord:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.note("ended", state=self.ending)
            else:
                stopped = STOPPING.is_set() or isinstance(error, KeyboardInterrupt)
                self.note("ended", state="stopped" if stopped else "failed", error=_in_words(error))
        finally:
            self._close()

    def note(self, event: str, **facts: Any) -> None:
        """Append one event, unless the run has ended; a line is written whole or not at all, and then warned of."""
        try:
            self._append(event, **facts)
        except OSError as error:
            LOG.warning("run %s: the event %s could not be recorded: %s", self.id, event, error)

    def _append(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "at": _now(), **facts}, separators=(",", ":"))
        left = f"{line}\n".encode()
        with self._lock:
            if self._closed:  # a thread that outlives its run
                return
            size = os.fstat(self._file).st_size
            try:
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError:
                os.ftruncate(self._file, size)
                raise

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._file)

    def started(self, stage: str, part: str) -> None:
        self._told[stage, part] = time.monotonic()
        self.note("part_started", stage=stage, part=part)

    def advanced(self, stage: str, part: str, done: int, total: int) -> None:
        if time.monotonic() - self._told[stage, part] >= PROGRESS_EVERY_S:
            self._told[stage, part] = time.monotonic()
            self.note("part_advanced", stage=stage, part=part, done=done, total=total)

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None:  # noqa: ARG002
        work = self._clock.work(stage, part)
        self.note(
            "part_finished", stage=stage, part=part, state="cached" if made.cached else "done", key=made.key,
            done=work.count, rejected=rejected_in(made), issued=work.issued, replayed=work.replayed,
        )  # fmt: skip

    def failed(self, stage: str, part: str, error: BaseException) -> None:
        self.note("part_failed", stage=stage, part=part, error=_in_words(error))


class Remembering(SilentReporter):
    """Has the store remember what a run stands on while it runs: housekeeping would take a long one's first outputs."""

    def __init__(self, store: Store, name: str, digest: str) -> None:
        self._store = store
        self._name = name
        self._digest = digest
        self._lock = threading.Lock()
        self._due = 0.0

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None:  # noqa: ARG002
        with self._lock:
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + REMEMBER_EVERY_S
        try:
            self._store.remember_run(self._name, self._digest)
        except (OSError, StoreError) as error:  # the part is stored all the same
            LOG.warning("what run %s stands on could not be noted in the store: %s", self._name, error)


def rejected_in(made: Manifest) -> int:
    """How many utterances this output rejected, whether its stage counts them or counts them by reason."""
    rejected = made.info.get("rejected", 0)
    return sum(rejected.values()) if isinstance(rejected, dict) else int(rejected)


def find_record(outputs: Path, run: str) -> Path:
    """The record of a run by its id, by the beginning of its id, or by its name: then the last one of that name.

    Raises HistoryError when there is none, or when the beginning is that of several.
    """
    records = all_records(outputs)
    named = [path for path in records if path.parent.parent.name == run]
    if named:
        return named[-1]
    found = [path for path in records if path.stem.startswith(run)]
    if len(found) == 1:
        return found[0]
    if found:
        raise HistoryError(f"{run!r} begins several runs: {', '.join(path.stem for path in found)}")
    names = sorted({path.parent.parent.name for path in records})
    known = (
        f"there are runs of {', '.join(names)}; `simulsa runs` lists them"
        if names
        else "no run was made there"
    )
    raise HistoryError(f"there is no run {run!r} below {outputs}: {known}")


def read_events(record: Path) -> list[dict[str, Any]]:
    """The events of a record, oldest first; a last line that a kill cut short is no event."""
    *lines, _cut = record.read_text(encoding="utf-8", errors="replace").split("\n")
    try:
        events: list[dict[str, Any]] = [json.loads(line) for line in lines]
    except ValueError as error:
        raise HistoryError(f"{record} is not a record of a run ({error}): move it away") from error
    if not events or events[0]["event"] != "started":
        raise HistoryError(f"{record} does not begin with the start of a run: move it away")
    return events


def is_alive(record: Path) -> bool:
    """Whether the process that writes this record still lives."""
    with record.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def all_records(outputs: Path) -> list[Path]:
    """Every record below `outputs`, the oldest run first; an empty one is of a run that could not begin."""
    found = [path for path in outputs.glob(f"*/{RECORDS}/*.jsonl") if path.stat().st_size]
    return sorted(found, key=lambda path: path.stem)


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
