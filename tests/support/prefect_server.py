"""A real Prefect server on loopback with what stands around it: its command line, workers, and its REST answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from lalm.vllm.server import free_port

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # What the server and workers look at once or twice a minute is looked at every second or two:
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
}


class PrefectServer:
    """`prefect server start` on a database, and everything that is asked of it; processes end with `close`.

    `env` is what its own command line, its workers and their flows see.
    """

    def __init__(self, home: Path, database: str, **more: str) -> None:
        self.home, self.port = home, free_port("127.0.0.1")
        home.mkdir(parents=True, exist_ok=True)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.env = clean | SETTINGS | {"PREFECT_HOME": str(home), "PREFECT_API_URL": self.url} | more
        self._database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database}
        self._server: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def start(self, timeout_s: float = 120) -> None:
        """Start the server, again if it was killed, and return when it answers."""
        command = ["server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--no-ui"]
        self._server = self.spawn("server", *command, env=self._database)
        until(self._is_up, timeout_s, "the Prefect server answers", self.explain)

    def kill(self) -> None:
        """SIGKILL to the server and all that it started."""
        assert self._server is not None
        end(self._server)

    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._server is not None and self._server.poll() is None

    def spawn(
        self, name: str, *command: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A `prefect` command in the background, in a session of its own; what it says goes to `<name>.log`."""
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", *command], cwd=REPOSITORY,
                env=self.env | dict(env or {}), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def worker(self, pool: str) -> subprocess.Popen[bytes]:
        """A process worker for a pool."""
        return self.spawn(f"worker-{pool}", "worker", "start", "--pool", pool, "--name", f"test-{pool}")

    def cli(self, *command: str) -> str:
        """What a `prefect` command prints; an AssertionError with it when the command fails."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *command], cwd=REPOSITORY, env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"prefect {' '.join(command)}:\n{done.stdout}"
        return done.stdout

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """One call of the REST interface."""
        answer = self._http.post(path, json=body)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self._http.get(path)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json()

    def delete(self, path: str) -> None:
        assert self._http.delete(path).is_success

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """The flow runs of a deployment, `FLOW/NAME`, oldest first."""
        flow, name = deployment.split("/")
        chosen = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [name]}}}
        found: list[dict[str, Any]] = self.post(
            "/flow_runs/filter", chosen | {"sort": "EXPECTED_START_TIME_ASC"}
        )
        return found

    def reach(self, run_id: str, *states: str, timeout_s: float = 300) -> str:
        """The type of a run's state once it is one of `states`."""

        def look() -> str | None:
            state: str = self.get(f"/flow_runs/{run_id}")["state_type"]
            return state if state in states else None

        return until(look, timeout_s, f"run {run_id} is one of {states}", self.explain)

    def close(self) -> None:
        """End every process that was started here, and theirs."""
        for process in reversed(self._started):
            end(process)
        self._http.close()

    def _is_up(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, f"the Prefect server ended:\n{self.explain()}"
        try:
            return self._http.get("/health").is_success
        except httpx.TransportError:
            return False

    def explain(self) -> str:
        """The ends of all logs."""
        tails = [f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.home.glob("*.log"))]
        return "\n".join(tails)


@contextmanager
def running_prefect(home: Path, database: str, **more: str) -> Iterator[PrefectServer]:
    """A server that answers; `more` are environment variables for it, its workers and their flows."""
    server = PrefectServer(home, database, **more)
    try:
        server.start()
        yield server
    finally:
        server.close()


def flows_of(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The flow processes below a worker."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(worker.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any("prefect.engine" in part or "flow_engine" in part for part in child.cmdline()):
                    found.append(child)
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and to everything below it; harmless when they have ended."""
    below: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in below:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


def until(look: Callable[[], T | None], timeout_s: float, what: str, explain: Callable[[], str]) -> T:
    """The first thing that `look` finds; AssertionError with an explanation when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s:.0f} s it is still not so that {what}\n{explain()}")
        time.sleep(0.1)
    return found
