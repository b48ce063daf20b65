"""Kill one part of a deployed run at a random moment, recover as documented, and compare what comes out.

    python benchmarks/chaos.py --seeds 20

A Prefect server on PostgreSQL, a worker, a Hub and (where it is the victim) a vLLM server are real and on loopback.
Each seed is one deployed run of a small profile that publishes; the seed decides the victim and after how much progress
it is killed. Recovery is that of docs/deployments.md: what was killed is started again; a run that failed or crashed is
retried; one that nobody works on any more is set to Crashed first. It fails when a run does not end Completed, when a
recorded request was issued again, when a kill cost more repeated requests than were in flight, when the published rows
or the scores differ from an undisturbed run's, or when the Hub holds anything but one whole commit.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from cyclopts import App

from benchmarks.chaos_site import (
    IN_FLIGHT,
    Outcome,
    Site,
    asked,
    flow_processes,
    progress,
    site,
    vllm_processes,
)
from tests.support.command import issued_twice
from tests.support.prefect_server import until

app = App(help=__doc__)

KINDS = ("flow", "worker", "worker and flow", "Prefect server", "Hub", "vLLM server")
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
HUB_MOMENTS = (
    ("POST", "/api/repos/create"), ("POST", "/preupload/"), ("POST", "/info/lfs/objects/batch"),
    ("PUT", "/objects/"), ("POST", "/commit/"), ("GET", "/tree/"),
)  # fmt: skip


def strike(site: Site, kind: str, run_id: str) -> None:
    """SIGKILL to the victim and nothing else."""
    assert site.worker is not None
    victims = flow_processes(run_id) if "flow" in kind else []
    if kind == "vLLM server":
        victims = vllm_processes()
    if "worker" in kind:
        os.kill(site.worker.pid, signal.SIGKILL)
        site.worker.wait()
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    if kind == "Prefect server":
        site.server.kill()


def revive(site: Site) -> None:
    """Start again whatever is dead, as a supervisor would."""
    assert site.worker is not None
    if site.hub_is_dead():
        site.start_hub()
    if not site.server.is_running():
        site.server.start()
    if site.worker.poll() is not None:
        site.start_worker()


def recover(site: Site, run_id: str) -> list[str]:
    """Bring a run to Completed as docs/deployments.md says; what had to be done, in order."""
    done: list[str] = []
    for _ in range(4):
        state = settle(site, run_id)
        if state == "COMPLETED":
            return done or ["none"]
        if state == "RUNNING":  # nobody works on it: what the zombie automation does after 75 s
            body = {"state": {"type": "CRASHED", "name": "Crashed"}, "force": True}
            site.server.post(f"/flow_runs/{run_id}/set_state", body)
            done.append("Running: forced to Crashed")
        retry(site, run_id)
        done.append(f"{state.title()}: retry" if state != "RUNNING" else "retry")
    return [*done, "GAVE UP"]


def retry(site: Site, run_id: str) -> None:
    """Retry, and wait until the run works again.

    A worker reports a dead process twice, the second time up to half a minute later: a run that waits for its retry
    shows Crashed once more, and starts all the same.
    """
    site.server.cli("flow-run", "retry", run_id)
    site.server.reach(run_id, "RUNNING", "COMPLETED", "FAILED")


def settle(site: Site, run_id: str) -> str:
    """The run's state once it is final, or RUNNING when no process works on it any more."""
    alone_since: list[float] = []

    def look() -> str | None:
        revive(site)
        state: str = site.server.get(f"/flow_runs/{run_id}")["state_type"]
        if state in FINAL:
            return state
        if state != "RUNNING" or flow_processes(run_id):
            alone_since.clear()
            return None
        alone_since.append(time.monotonic())
        return state if alone_since[-1] - alone_since[0] > 15 else None  # a living worker marks it within 6 s

    return until(look, 600, f"run {run_id} ends", site.server.explain)


class Seed:
    """One run, one kill: what the seed decides, and after `run` what came of it."""

    def __init__(self, number: int, kind: str, total: int) -> None:
        self.number, self.kind = number, kind
        dice = random.Random(number)
        self.fault: dict[str, str] | None = None
        if kind == "Hub":
            (method, path), action = dice.choice(HUB_MOMENTS), dice.choice(["die", "die_after"])
            self.fault = {"method": method, "path": path, "action": action}
            self.when = f"{'before' if action == 'die' else 'after'} {method} {path}"
        else:
            self.due = dice.randint(1, total - 2)
            self.when = f"{self.due} of {total}"
        self.struck = False
        self.recovery: list[str] = []

    def run(self, site: Site) -> Seed:
        """Begin a run, kill at the moment, recover, and keep what it gave."""
        run, repo = site.root / f"seed-{self.number}", f"toy/seed-{self.number}"
        if self.fault:
            site.start_hub(self.fault)
        begun = time.monotonic()
        run_id = site.begin(run, repo, "vllm-server" if self.kind == "vLLM server" else "transformers")
        reached = until(
            lambda: self._look(site, run, run_id), 900, f"seed {self.number} is killed", site.server.explain
        )
        self.struck = reached == "now"
        if self.struck:
            strike(site, self.kind, run_id)
        elif self.fault:
            site.start_hub()
        self.recovery = recover(site, run_id)
        self.seconds = time.monotonic() - begun
        self.outcome = site.outcome(run, repo)
        keys = asked(run)
        self.begun_again, self.recorded_again = len(keys) - len(set(keys)), issued_twice(run)
        shutil.rmtree(run)
        return self

    def is_good(self, expected: Outcome) -> bool:
        """Complete, equal, one commit, and no request too many."""
        few = self.recorded_again == 0 and self.begun_again <= IN_FLIGHT
        return few and self.outcome == expected and self.outcome.commits == 1

    def row(self, expected: Outcome) -> str:
        """The seed's line of the table."""
        cells = [
            self.number, self.kind, self.when if self.struck else f"{self.when}: had ended", "; ".join(self.recovery),
            self.begun_again, self.recorded_again, _yes(self.outcome.digest == expected.digest),
            _yes(self.outcome.published == expected.published), self.outcome.commits, f"{self.seconds:.0f}",
            "ok" if self.is_good(expected) else "BAD",
        ]  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |"

    def _look(self, site: Site, run: Path, run_id: str) -> str | None:
        """`now` at the moment of the kill, `ended` when the run was faster."""
        if self.fault:
            due = site.hub_is_dead()
        else:
            due = progress(run) >= self.due and (self.kind != "vLLM server" or bool(vllm_processes()))
        if due:
            return "now"
        state = site.server.get(f"/flow_runs/{run_id}")["state_type"]
        return "ended" if state in FINAL else None


def _yes(equal: bool) -> str:
    return "yes" if equal else "NO"


def undisturbed(site: Site) -> tuple[Outcome, int]:
    """A run that nobody harms: what it gives, and how much progress there is in one."""
    run, repo = site.root / "undisturbed", "toy/undisturbed"
    recovery = recover(site, site.begin(run, repo, "transformers"))
    repeated = len(asked(run)) - len(set(asked(run)))
    if recovery != ["none"] or repeated:
        raise SystemExit(f"an undisturbed run needed {recovery}, {repeated} requests were begun again")
    return site.outcome(run, repo), progress(run)


HEADER = (
    "| seed | killed | at (requests begun + outputs finished) | recovery | requests begun again | recorded ones again "
    "| digest equal | Hub equal | commits | s | |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


@app.default
def main(
    *, seeds: int = 20, first: int = 1, only: str | None = None, workdir: Path = Path("outputs/chaos")
) -> None:
    """Print a Markdown row per seed and a closing line; exit 1 when any is bad. `only` kills this kind alone."""
    root = workdir.absolute()
    shutil.rmtree(root, ignore_errors=True)
    numbers = range(first, first + seeds)
    with site(root) as parts:
        expected, total = undisturbed(parts)
        print(f"undisturbed: dataset {expected.digest[:12]}, {total} steps of progress\n{HEADER}", flush=True)
        good = 0
        for number in numbers:
            seed = Seed(number, only or KINDS[number % len(KINDS)], total).run(parts)
            print(seed.row(expected), flush=True)
            good += seed.is_good(expected)
    print(f"{good} of {seeds} runs recovered with equal results")
    sys.exit(good != seeds)


if __name__ == "__main__":
    app()
