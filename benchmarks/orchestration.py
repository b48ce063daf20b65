"""What Prefect costs: the time of a flow less the time in which a stage works, on a dataset of many small shards.

    OMP_NUM_THREADS=1 python benchmarks/orchestration.py --shards 200

The dataset is built by the real flow with the real stages on the micro LALM, once from nothing and once more with every
stage stored. One worker thread, so that a stage either works or nothing does; what is left is Prefect's engine, the
task runner and our own bookkeeping between stages. The server is started before.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from cyclopts import App

from flows.config import RunConfig, load_config

app = App(help=__doc__)


@dataclass
class BusySlot:
    """The workspace's one slot, which also adds up how long it was held and how often."""

    seconds: float = 0.0
    times: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _since: float = 0.0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._since = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds += time.perf_counter() - self._since
        self.times += 1
        self._lock.release()


def measure(config: RunConfig) -> tuple[float, BusySlot]:
    """Seconds of the flow, and its slot."""
    from flows.build_dataset import build_dataset
    from flows.session import session_for

    slot = BusySlot()
    with session_for(config) as session:
        workspace: Any = session.workspace
        workspace.slots = slot
        begun = time.perf_counter()
        build_dataset(config)
        return time.perf_counter() - begun, slot


def report(name: str, flow_s: float, slot: BusySlot) -> None:
    rest_s = flow_s - slot.seconds
    print(
        f"{name:>14}: {slot.times} tasks, flow {flow_s:.2f} s, stages {slot.seconds:.2f} s, orchestration {rest_s:.2f} "
        f"s = {rest_s / flow_s:.1%} of the flow, {1000 * rest_s / slot.times:.1f} ms a task",
        flush=True,
    )


@app.default
def main(*, shards: int = 200, utterances: int = 2000, fraction: float = 0.2) -> None:
    """Print seconds and shares for the first run and for one that finds every stage."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    root = Path(tempfile.mkdtemp(prefix="simulsa-orchestration-"))
    os.environ.setdefault("PREFECT_HOME", str(root / "prefect"))
    try:
        few = [
            f"outputs={root / 'warm-up'}",
            f"corpus.root={root / 'corpus'}",
            f"demo.num_train={utterances}",
        ]
        measure(load_config("tiny", [*few, "workers=1", "truncate.fraction=0.005"]))
        many = [f"outputs={root / 'outputs'}", *few[1:], "workers=1", f"dataset.n_shards={shards}"]
        config = load_config("tiny", [*many, f"truncate.fraction={fraction}"])
        print(f"{shards} shards, {utterances} utterances, {fraction:.0%} of them augmented")
        for name in ("from nothing", "all stored"):
            report(name, *measure(config))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    app()
