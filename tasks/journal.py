"""Request records that survive a kill: append-only JSON lines, one file per writing process.

A record is keyed by the content of its request, so it serves any run that asks the same thing. A line cut short by a
kill is ignored and asked again; it is never half a record, for a record is one line.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import IO


class FileJournal:
    """The `lalm.engine.Journal` of a store: every record below `root` is readable, new ones go to a file of ours."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._records: dict[str, dict[str, object]] = {}
        self._file: IO[str] | None = None
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        for path in sorted(root.glob("*.jsonl")):
            self._load(path)

    def __len__(self) -> int:
        return len(self._records)

    def __enter__(self) -> FileJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, key: str) -> dict[str, object] | None:
        """The record of `key`, or None."""
        with self._lock:
            return self._records.get(key)

    def put(self, key: str, record: dict[str, object]) -> None:
        """Record `key`; the first record of a key stays."""
        with self._lock:
            if key in self._records:
                return
            self._records[key] = record
            self._writer().write(json.dumps({"key": key, "record": record}, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        """Make every record put so far survive a kill and a power cut."""
        with self._lock:
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close; a later put opens a new file."""
        self.flush()
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _writer(self) -> IO[str]:
        if self._file is None:
            self._file = (self._root / f"{uuid.uuid4().hex}.jsonl").open("a", encoding="utf-8")
        return self._file

    def _load(self, path: Path) -> None:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    self._records.setdefault(entry["key"], entry["record"])
                except (ValueError, KeyError, TypeError):
                    continue  # a line cut short by a kill: that request is asked again
