"""Whether the GPUs' memory came back after its user ended, asked of nvidia-smi so that asking takes none itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence

from lalm.errors import EngineError

SLACK_MIB = 512
PATIENCE_S = 60.0
POLL_S = 0.5
ANSWER_TIMEOUT_S = 30.0


class GpuMemory:
    """Used memory of GPUs before somebody takes it, to compare with afterwards; of no GPU it is always free."""

    def __init__(self, gpus: Sequence[str]) -> None:
        self._gpus = gpus
        self._before_mib: int | None = None

    def remember(self) -> None:
        """Take what is used now as the state to come back to."""
        self._before_mib = used_mib(self._gpus)

    def wait_until_free(self) -> None:
        """Return when the memory is back; EngineError when it is not within a minute."""
        if self._before_mib is None:
            return
        allowed = self._before_mib + SLACK_MIB
        deadline = time.monotonic() + PATIENCE_S
        while (used := used_mib(self._gpus) or 0) > allowed:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"GPU {','.join(self._gpus)} still has {used} MiB in use after its server was stopped, "
                    f"{self._before_mib} MiB before: look for the process with nvidia-smi and end it"
                )
            time.sleep(POLL_S)


def gpus_of(number: int, count: int) -> tuple[str, ...]:
    """The GPUs of the replica `number`, `count` for each, of those that CUDA_VISIBLE_DEVICES leaves to us."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    first = number * count
    if visible is None:
        return tuple(str(gpu) for gpu in range(first, first + count))
    gpus = tuple(gpu.strip() for gpu in visible.split(",") if gpu.strip())
    if len(gpus) < first + count:
        raise EngineError(
            f"replica {number + 1} needs {count} GPU(s) of its own, but CUDA_VISIBLE_DEVICES={visible} shows "
            f"{len(gpus)}: lower engine.replicas or engine.tensor_parallel_size"
        )
    return gpus[first : first + count]


def used_mib(gpus: Sequence[str]) -> int | None:
    """MiB in use on these GPUs together, or None where there is no nvidia-smi, no GPU, or no answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None or not gpus:
        return None
    query = [tool, f"--id={','.join(gpus)}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(  # noqa: S603 - our own command line
            query, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    lines = answer.stdout.split()
    readable = answer.returncode == 0 and bool(lines) and all(line.isdigit() for line in lines)
    return sum(map(int, lines)) if readable else None
