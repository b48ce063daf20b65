"""A process between us and a server, so that the server never outlives us, not even after SIGKILL.

Run as `python -m lalm.vllm.guardian COMMAND...`: starts the command in a process group of its own and ends the group
when standard input closes (its parent is gone, or wants it) or when the command ends.
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

GRACE_S = 15.0
PR_SET_PDEATHSIG = 1


def main() -> int:
    """Guard the command of `sys.argv`; returns its exit code."""
    child = subprocess.Popen(  # noqa: S603 - our own parent gives the command
        sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_guardian
    )
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: _end(child))
    threading.Thread(target=_end_with_parent, args=(child,), daemon=True).start()
    code = child.wait()
    _signal_group(child, signal.SIGKILL)  # what the command itself left behind
    return code


def _die_with_guardian() -> None:
    """On Linux the kernel itself ends the child should this process be killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


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


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main())
