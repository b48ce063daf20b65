"""Content digests of corpus audio files, remembered by (path, size, mtime) so that a rerun only stats them.

The memory is local and disposable; no path ever enters an identity, only the digests do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from tasks.reporting import Progress
from tasks.store import fingerprint, sha256_file


class FileDigests:
    """sha256 of files, computed once per (path, size, mtime_ns)."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[tuple[str, int, int], str] = {}
        if memory.exists():
            self._read()

    def digest_all(self, paths: Iterable[Path], progress: Progress | None = None) -> str:
        """One digest over the contents of distinct files; a missing file counts as the word `missing`."""
        ordered = sorted(set(paths))
        digests, fresh = [], []
        for done, path in enumerate(ordered, start=1):
            entry, is_new = self._digest(path)
            digests.append(entry[-1])
            if is_new:
                fresh.append(entry)
            if progress is not None and done % 256 == 0:
                progress(done, len(ordered))
        self._remember(fresh)
        return fingerprint(digests)

    def _digest(self, path: Path) -> tuple[tuple[str, int, int, str], bool]:
        try:
            stat = path.stat()
        except OSError:
            return (str(path), 0, 0, "missing"), False
        key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)  # noqa: PTH100 - keep symlinks apart
        known = self._known.get(key)
        if known is not None:
            return (*key, known), False
        try:
            self._known[key] = sha256_file(path)
        except OSError:
            return (*key, "missing"), False
        return (*key, self._known[key]), True

    def _remember(self, entries: list[tuple[str, int, int, str]]) -> None:
        if entries:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(entry) + "\n" for entry in entries)
            with self._memory.open("ab", buffering=0) as file:
                file.write(lines.encode())  # at once, so that the lines of several processes stay whole

    def _read(self) -> None:
        with self._memory.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    path, size, mtime_ns, digest = json.loads(line)
                except ValueError:
                    continue  # a line cut short by a kill: that file is digested again
                self._known[path, size, mtime_ns] = digest
