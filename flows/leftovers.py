"""Prefect's temporary server ends with the run that started it, also when the run is killed.

`python -m flows.leftovers MARK` waits until its parent is gone, then ends the temporary servers with this mark in their
environment. A run that ends by itself has stopped its server by then.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable

import psutil

MARK = "SIMULSA_RUN_PROCESS"
SERVER = "prefect.server.api.server:create_app"
GRACE_S = 5.0

_watchers: list[subprocess.Popen[bytes]] = []
"""Kept, for a watcher takes the end of its standard input for our end."""


def end_leftovers_with_us() -> None:
    """Mark this process and what it starts from now on, and have its servers ended when it is gone."""
    if _watchers:
        return
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "flows.leftovers", mark]
    watcher = subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    _watchers.append(watcher)
    os.environ[MARK] = mark


def main() -> None:
    """Wait for the parent's end, then end its servers: asked first, then made to."""
    mark = sys.argv[1]
    sys.stdin.buffer.read()
    left = [process for process in psutil.process_iter() if _is_left(process, mark)]
    for process in left:
        _tell(process.terminate)
    for process in psutil.wait_procs(left, timeout=GRACE_S)[1]:
        _tell(process.kill)


def _tell(signal: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.Error):  # it ended meanwhile
        signal()


def _is_left(process: psutil.Process, mark: str) -> bool:
    try:
        return SERVER in process.cmdline() and process.environ().get(MARK) == mark
    except psutil.Error:  # it is another user's, or gone
        return False


if __name__ == "__main__":
    main()
