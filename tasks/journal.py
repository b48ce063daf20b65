"""Request records that survive a kill: append-only JSON lines, one file per writing process.

A record is keyed by the content of its request, so it serves any run that asks the same thing. A line cut short by a
kill is ignored and asked again; it is never half a record, for a record is one line.

Where the store is a bucket, each file is closed after a minute and uploaded whole, for objects cannot grow: other
machines read it when they open the journal. What a kill left behind is uploaded by the next process on this machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO

from tasks.store.objects import Bucket

SEGMENT_S = 60.0
"""How long a file takes records before it is shared: what a machine that is lost takes with it."""


class FileJournal:
    """The `lalm.engine.Journal` of a store: every record below `root` is readable, new ones go to a file of ours.

    With a bucket, the files that lie in `prefix` there are read too, and ours go there.
    """

    def __init__(
        self, root: Path, bucket: Bucket | None = None, prefix: str = "", *, segment_s: float = SEGMENT_S
    ) -> None:
        self._root = root
        self._bucket = bucket
        self._prefix = prefix
        self._segment_s = segment_s
        self._records: dict[str, dict[str, object]] = {}
        self._file: IO[str] | None = None
        self._opened_at = 0.0
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        if bucket is not None:
            self._exchange(bucket)
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
        """Make every record put so far survive a kill and a power cut; share them once a minute."""
        with self._lock:
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
                if self._bucket is not None and time.monotonic() - self._opened_at >= self._segment_s:
                    self._end_segment(self._file)

    def close(self) -> None:
        """Flush, share and close; a later put opens a new file."""
        self.flush()
        with self._lock:
            if self._file is not None:
                self._end_segment(self._file)

    def _writer(self) -> IO[str]:
        if self._file is None:
            self._file = (self._root / f"{uuid.uuid4().hex}.jsonl").open("a", buffering=1, encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX)  # held while its writer lives
            self._opened_at = time.monotonic()
        return self._file

    def _end_segment(self, file: IO[str]) -> None:
        """Upload first: a file that could not be shared is still ours, and the next process here shares it."""
        self._file = None
        with file:
            if self._bucket is not None:
                self._bucket.upload(self._root, [Path(file.name).name], self._prefix)

    def _exchange(self, bucket: Bucket) -> None:
        """Fetch the files that others wrote; upload those of ours that a kill kept here."""
        there = bucket.list(self._prefix)
        here = {path.name: path.stat().st_size for path in self._root.glob("*.jsonl")}
        for name, found in there.items():
            if here.get(name, -1) < found.num_bytes:
                draft = self._root / f".{name}.{uuid.uuid4().hex[:8]}"
                bucket.download(f"{self._prefix}/{name}", draft)
                draft.replace(self._root / name)
        ours = [name for name, size in here.items() if name not in there or there[name].num_bytes < size]
        left = [name for name in ours if size_without_writer(self._root / name)]
        if left:
            bucket.upload(self._root, left, self._prefix)

    def _load(self, path: Path) -> None:
        with path.open(encoding="utf-8", errors="replace") as file:
            self._read(file)

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            try:
                entry = json.loads(line)
                self._records.setdefault(entry["key"], entry["record"])
            except (ValueError, KeyError, TypeError):
                continue  # a line cut short by a kill: that request is asked again


def size_without_writer(path: Path) -> int:
    """The bytes of a file of records that nobody writes any more; 0 while somebody does."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        return path.stat().st_size
