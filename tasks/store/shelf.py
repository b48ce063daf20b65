"""Where housekeeping finds objects: in a bucket or in a directory. This module does not know what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tasks.store.locks import is_locked
from tasks.store.objects import StoredObject


class Shelf(Protocol):
    """Where objects lie: a bucket, or a directory."""

    def list(self, prefix: str) -> dict[str, StoredObject]: ...

    def read(self, name: str) -> bytes | None: ...

    def delete(self, names: Iterable[str]) -> None: ...


class Directory:
    """A directory as a shelf."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, prefix: str) -> dict[str, StoredObject]:
        return dict(self._entries(self.root / prefix))

    def _entries(self, base: Path) -> Iterator[tuple[str, StoredObject]]:
        for path in base.rglob("*"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # somebody else removed it meanwhile
            if path.is_file():
                modified = datetime.fromtimestamp(stat.st_mtime, UTC)
                yield (
                    path.relative_to(base).as_posix(),
                    StoredObject(num_bytes=stat.st_size, modified=modified),
                )

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, names: Iterable[str]) -> None:
        for path in [self.root / name for name in names]:
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent.parent == self.root:
                    break
                try:
                    parent.rmdir()
                except OSError:
                    break  # it holds something, perhaps since a moment ago, or somebody else removed it

    def is_locked(self, name: str) -> bool:
        """Whether a living process holds this lock."""
        return is_locked(self.root / name)
