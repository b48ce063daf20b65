"""Ctrl-C and SIGTERM: work under way is told to end at its next step, so that a run leaves in seconds, not in hours."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

STOPPING = threading.Event()


def install() -> None:
    """From now on both signals set `STOPPING` and leave through the exits that stop what was started."""
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _interrupt)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    STOPPING.set()
    sys.exit(143)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    STOPPING.set()
    raise KeyboardInterrupt
