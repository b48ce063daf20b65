"""A run directory belongs to one configuration at a time: two of them would leave the dataset of one and the scores of
the other. Runs of the same configuration may share it, for they make the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lalm.errors import SimulsaError

LOCK = ".lock"


class BusyError(SimulsaError):
    """A run directory that another run is writing to."""


@contextmanager
def run_directory(directory: Path, configuration: str) -> Iterator[None]:
    """Hold `directory` for the configuration of this digest; BusyError names the process that holds it for another.

    Whoever is alone writes down its digest; then all hold the lock together and see whose digest is there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            _write(descriptor, {"configuration": configuration, "pid": os.getpid(), "host": platform.node()})
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        holder = json.loads(os.pread(descriptor, 4096, 0))
        if holder["configuration"] != configuration:
            raise BusyError(
                f"{directory} is being written by another run with another configuration (process {holder['pid']} on "
                f"{holder['host']}): wait for it, or give this run another `name`"
            )
        yield
    finally:
        os.close(descriptor)


def _write(descriptor: int, holder: dict[str, Any]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)
