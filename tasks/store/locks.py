"""Lock files: a living process holds one, a dead one holds none. This module does not know what they protect."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

LOCK_POLL_S = 1.0


def open_new(path: Path, tries: int = 3) -> TextIO:
    """Create a file and its directory, which housekeeping may remove as empty before the file is in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return path.open("w")
    except FileNotFoundError:
        if tries == 1:
            raise
        return open_new(path, tries - 1)


def hold(lock: TextIO, waiting: Callable[[], None]) -> None:
    """Take a lock; while another process has it, ask again every LOCK_POLL_S seconds, so that a stop is heard."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            time.sleep(LOCK_POLL_S)
        else:
            return


def is_locked(path: Path) -> bool:
    """Whether a living process holds this lock."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
