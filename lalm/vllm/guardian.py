"""A process between us and a server, so that the server never outlives us, not even after SIGKILL.

Run as `python -m lalm.vllm.guardian COMMAND...`: starts the command in a process group of its own and ends it, with all
that it started, when standard input closes (its parent is gone, or wants it) or when the command ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import psutil

GRACE_S = 15.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> int:
    """Guard the command of `sys.argv`; returns its exit code."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans below become ours, whatever session they chose
    child = subprocess.Popen(  # noqa: S603 - our own parent gives the command
        sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_guardian
    )

    def end_soon(*_: object) -> None:  # a handler must not wait: it runs inside the wait for the child
        threading.Thread(target=_end, args=(child,), daemon=True).start()

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, end_soon)
    threading.Thread(target=_end_with_parent, args=(child,), daemon=True).start()
    code = child.wait()
    _end_the_rest(child)
    return code


def _end_with_guardian() -> None:
    """On Linux the kernel tells the child should this process be killed; told, not killed, it ends its own children."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def _end_with_parent(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, and make it end when it does not."""
    _signal_group(child, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_group(child, signal.SIGKILL)


def _end_the_rest(child: subprocess.Popen[bytes]) -> None:
    """Kill what the command left behind: its group, and on Linux every process below this one."""
    _signal_group(child, signal.SIGKILL)
    deadline = time.monotonic() + GRACE_S
    while (rest := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for process in rest:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(rest, timeout=1.0)


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main())
