"""Kill `simulsa run tiny` at random moments and repeat the command: it must finish, with the same dataset bytes.

    python benchmarks/kill_and_rerun.py --kills 20 --seed 1

For every kill: a fresh store, one SIGKILL to the whole process group after a random time, then the same command. It
fails when a dataset byte or a score differs from an undisturbed run, or when a recorded request was issued again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cyclopts import App

from tests.support.command import issued_twice

app = App(help=__doc__)
RUN = [sys.executable, "-m", "flows.cli", "run", "tiny", "--json"]


def command(outputs: Path, corpus: Path) -> list[str]:
    """The tiny run below its own outputs directory, on a corpus that all runs share."""
    return [*RUN, "--set", f"outputs={outputs}", "--set", f"corpus.root={corpus}"]


def run_whole(outputs: Path, corpus: Path) -> dict[str, Any]:
    """One run to its end; raises CalledProcessError with its stderr when it fails."""
    done = subprocess.run(command(outputs, corpus), check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the run failed with {done.returncode}:\n{done.stderr[-4000:]}")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def run_and_kill(outputs: Path, corpus: Path, after_s: float) -> bool:
    """Start a run, SIGKILL its process group after `after_s`; False when it had ended by then."""
    process = subprocess.Popen(
        command(outputs, corpus), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def essence(summary: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on kills."""
    return {name: summary[name] for name in ("curves", "equal_latency")} | {
        "digest": summary["dataset"]["digest"]
    }


@app.default
def main(*, kills: int = 20, seed: int = 1, workdir: Path = Path("outputs/soak")) -> None:
    """Print one line per kill and a closing line; exit 1 when any differs."""
    shutil.rmtree(workdir, ignore_errors=True)
    corpus, dice = workdir / "corpus", random.Random(seed)
    run_whole(workdir / "warm-up", corpus)
    started = time.monotonic()
    expected = essence(run_whole(workdir / "reference", corpus))
    duration_s = time.monotonic() - started
    print(f"undisturbed: {duration_s:.1f} s, dataset {expected['digest'][:12]}; seed {seed}, {kills} kills")
    bad = 0
    for number in range(kills):
        outputs, after_s = workdir / f"kill-{number}", dice.uniform(0.3, 1.0) * duration_s
        killed = run_and_kill(outputs, corpus, after_s)
        summary = run_whole(outputs, corpus)
        same, repeated = essence(summary) == expected, issued_twice(outputs)
        bad += not (same and repeated == 0)
        stages = sum(stage["cached"] for stage in summary["stages"])
        print(
            f"kill {number:2d} after {after_s:5.1f} s ({'killed' if killed else 'had ended'}): "
            f"{'same' if same else 'DIFFERENT'}, {stages} parts found, {summary['requests']['replayed']} requests "
            f"replayed, {summary['requests']['issued']} issued, {repeated} repeated",
            flush=True,
        )
        shutil.rmtree(outputs, ignore_errors=True)
    print(f"{kills - bad} of {kills} kills recovered with equal results")
    sys.exit(bool(bad))


if __name__ == "__main__":
    app()
