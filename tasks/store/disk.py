"""Files that survive a power cut, and a full disk that says so."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.store.manifest import StoredFile, StoreError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NEARLY_FULL_BYTES = 1 << 20


class DiskFullError(StoreError):
    """A stage that could not finish for want of space; nothing of it counts, and what it wrote is gone."""


@contextmanager
def space_for(stage: str, directory: Path) -> Iterator[None]:
    """Turn a disk that filled up below `directory` into DiskFullError, whichever library met it first."""
    try:
        yield
    except Exception as error:
        if not _is_full(error, directory):
            raise
        written = size_of(directory)
        free = shutil.disk_usage(directory).free
        raise DiskFullError(
            f"no space for stage {stage!r}: it had written {written:,} bytes in {directory}, whose file system has "
            f"{free:,} bytes free and needs more than that. What it wrote is removed and nothing of it counts. Free "
            "space (`simulsa gc` shows what can go) or set outputs to a larger disk; the same command continues."
        ) from error


def _is_full(error: BaseException, directory: Path) -> bool:
    """Libraries in other languages lose the errno: then its words, or the disk itself, are asked."""
    while True:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(os.strerror(code) in str(error) for code in FULL):
            return True
        cause = error.__cause__ or error.__context__
        if cause is None:
            break
        error = cause
    return isinstance(error, OSError | RuntimeError) and shutil.disk_usage(directory).free < NEARLY_FULL_BYTES


def size_of(directory: Path) -> int:
    """The bytes of all files below a directory, which others may be changing."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def flush_output(directory: Path) -> dict[str, StoredFile]:
    """Flush every file below `directory` to disk and describe it, by POSIX path below the directory."""
    files: dict[str, StoredFile] = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(directory).as_posix()
        files[name] = StoredFile(sha256=digest, num_bytes=path.stat().st_size)
    for path in [directory, *(p for p in directory.rglob("*") if p.is_dir())]:
        sync_directory(path)
    return files


def write_durably(path: Path, text: str) -> None:
    """Write a small file and flush it to disk."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make a directory's names survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
