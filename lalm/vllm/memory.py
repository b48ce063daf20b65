"""Whether a GPU's memory came back after its user ended, asked of nvidia-smi so that asking takes none itself."""

from __future__ import annotations

import shutil
import subprocess
import time

from lalm.errors import EngineError

SLACK_MIB = 512
PATIENCE_S = 60.0
POLL_S = 0.5


class GpuMemory:
    """Used memory of one GPU before somebody takes it, to compare with afterwards; without a GPU it is always free."""

    def __init__(self, gpu: int) -> None:
        self._gpu = gpu
        self._before_mib: int | None = None

    def remember(self) -> None:
        """Take what is used now as the state to come back to."""
        self._before_mib = used_mib(self._gpu)

    def wait_until_free(self) -> None:
        """Return when the memory is back; EngineError when it is not within a minute."""
        if self._before_mib is None:
            return
        allowed = self._before_mib + SLACK_MIB
        deadline = time.monotonic() + PATIENCE_S
        while (used := used_mib(self._gpu) or 0) > allowed:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"GPU {self._gpu} still has {used} MiB in use after its server was stopped, {self._before_mib} MiB "
                    "before: look for the process with nvidia-smi and end it"
                )
            time.sleep(POLL_S)


def used_mib(gpu: int) -> int | None:
    """MiB in use on one GPU, or None where there is no nvidia-smi or no such GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, f"--id={gpu}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    return int(answer.stdout.strip()) if answer.returncode == 0 and answer.stdout.strip().isdigit() else None
