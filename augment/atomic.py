"""Files that exist whole or not at all: written beside their place, flushed to disk, then renamed into it."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lalm.errors import SimulsaError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFullError(SimulsaError):
    """A directory that takes no more bytes: the disk is full, or a quota or a limit on file sizes is reached."""


@contextmanager
def room_in(directory: Path) -> Iterator[None]:
    """Turn the system's refusal of more bytes in this block into a DiskFullError that names the directory."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DiskFullError(
            f"{directory} takes no more bytes ({os.strerror(error.errno)}; {_free(directory)}): make room there or "
            "choose another place, and run again; nothing half-written counts"
        ) from error


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file takes the place of `path` when the block ends without an error.

    Raises DiskFullError where there is no room for it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with room_in(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.replace(path)
            flush_to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Give `path` this content, or leave it as it was."""
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def flush_to_disk(path: Path) -> None:
    """Make a file's content, or a directory's names, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(root: Path) -> None:
    """Flush every file and directory below `root`, and `root` itself."""
    for path in sorted(root.rglob("*")):
        flush_to_disk(path)
    flush_to_disk(root)


def file_sha256(path: Path) -> str:
    """The hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _free(directory: Path) -> str:
    place = next((path for path in (directory, *directory.parents) if path.is_dir()), Path())
    return f"{shutil.disk_usage(place).free / 1e6:,.0f} MB are free"
