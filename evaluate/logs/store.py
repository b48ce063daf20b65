"""Logs that are written once: the directory is the content's digest, so no run ever adds to another's."""

from __future__ import annotations

import hashlib
from pathlib import Path

from augment.atomic import file_sha256, write_bytes
from evaluate.logs.findings import LogError


def store_log(root: Path, name: str, content: bytes) -> Path:
    """Write `root / sha256 / name` atomically, or find it there; the path is the same for the same content.

    Raises LogError where the file exists with other bytes: someone changed it after it was written.
    """
    if Path(name).name != name:
        raise LogError(f"a log's name must be a file name without directories, got {name!r}")
    digest = hashlib.sha256(content).hexdigest()
    path = root / digest / name
    if not path.exists():
        write_bytes(path, content)
    elif file_sha256(path) != digest:
        raise LogError(
            f"{path} was changed after it was written: its directory names another content; move it away"
        )
    return path
