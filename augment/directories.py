"""A directory that others read is replaced in one step: they see the old one or the new one, whole."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from augment.atomic import flush_to_disk

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def staging_beside(target: Path, *, dry_run: bool) -> Iterator[Path]:
    """A directory on the target's own file system, so that a rename suffices; a dry run leaves that alone."""
    if not dry_run:
        target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=None if dry_run else target.parent))
    try:
        staging.chmod(0o755)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def holds_same(target: Path, staging: Path) -> bool:
    """True when every staged file lies in the target with equal bytes, and nothing else does."""
    staged = {path.relative_to(staging): path for path in staging.rglob("*") if path.is_file()}
    present = {path.relative_to(target): path for path in target.rglob("*") if path.is_file()}
    return staged.keys() == present.keys() and all(_equal(staged[name], present[name]) for name in staged)


def _equal(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while block := left.read(1 << 20):
            if block != right.read(1 << 20):
                return False
    return True


def put_in_place(staging: Path, target: Path) -> None:
    """Give `target` the staged content; what it held before lies in `staging` afterwards."""
    if not target.exists():
        staging.rename(target)
    elif not _exchange(staging, target):
        previous = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        target.rename(previous)
        staging.rename(target)
        shutil.rmtree(previous)
    flush_to_disk(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories in one step where the kernel can (Linux renameat2); False elsewhere."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    done: int = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return done == 0
