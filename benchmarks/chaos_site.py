"""What benchmarks/chaos.py kills: a Prefect server on PostgreSQL, a worker, a Hub, and a run that needs them all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.counted_run import ASKED
from lalm.vllm.server import free_port
from tests.support.hub import TOKEN, Repositories
from tests.support.postgres import find_binaries, running_postgres
from tests.support.prefect_server import REPOSITORY, PrefectServer, end, running_prefect

DEPLOYMENT = "run-simulsa/chaos"
IN_FLIGHT = 16
PROFILE: dict[str, Any] = {
    "name": "chaos",
    "demo": {"num_train": 200, "num_dev": 4, "num_test": 8},
    "model": {"path": "micro-lalm"},
    "truncate": {"fraction": 0.1},
    "finetune": {
        "steps": 2, "batch_size": 4, "learning_rate": 1.0e-3, "augmented_weight": 0.25, "checkpoint_every": 1
    },
    "evaluate": {"max_utterances": 4, "chunk_ms": [1600], "base_chunk_ms": []},
}  # fmt: skip
ENGINES = {
    "transformers": {"kind": "transformers", "batch_size": IN_FLIGHT},
    "vllm-server": {"kind": "vllm-server", "max_in_flight": IN_FLIGHT},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What must not depend on kills: the dataset's digest, the scores, the published shards by content, the commits.

    Evidence (log-probabilities) is published too, but engines differ in its last bits.
    """

    digest: str
    curves: dict[str, Any]
    published: dict[str, str]
    commits: int


class Site:
    """Every part that a run needs, each of which can be killed and started again."""

    def __init__(self, root: Path, server: PrefectServer, hub_port: int) -> None:
        self.root, self.server = root, server
        self._hub_port = hub_port
        self._hub: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """The pool, the deployment, the Hub and the worker."""
        self.server.cli("work-pool", "create", "chaos", "--type", "process")
        file = self.root / "prefect.yaml"
        deployment = {
            "name": "chaos", "entrypoint": "benchmarks.counted_run.run_simulsa", "work_pool": {"name": "chaos"}
        }  # fmt: skip
        file.write_text(yaml.safe_dump({"name": "chaos", "deployments": [deployment]}))
        self.server.cli("deploy", "--all", "--prefect-file", str(file))
        self.start_hub()
        self.start_worker()

    def close(self) -> None:
        if self._hub is not None:
            end(self._hub)

    def start_hub(self, *faults: dict[str, Any]) -> None:
        """The Hub on its port, with what will go wrong; an earlier one is ended."""
        if self._hub is not None:
            end(self._hub)
        flags = [part for fault in faults for part in ("--fault", json.dumps(fault))]
        command = [sys.executable, "-m", "tests.support.hub", "--port", str(self._hub_port), "--state"]
        self._hub = subprocess.Popen(
            [*command, str(self.root / "hub"), *flags], cwd=REPOSITORY, stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert self._hub.stdout is not None
        with self._hub.stdout as output:
            assert output.readline(), "the Hub did not start"

    def hub_is_dead(self) -> bool:
        return self._hub is None or self._hub.poll() is not None

    def start_worker(self) -> None:
        self.worker = self.server.worker("chaos")

    def begin(self, run: Path, repo: str, engine: str) -> str:
        """A new flow run; gives its id."""
        corpus = {
            "name": "toy", "layout": "covost2", "root": str(self.root / "corpus"), "src_lang": "en", "tgt_lang": "de",
            "license": "apache-2.0",
        }  # fmt: skip
        config = PROFILE | {
            "outputs": str(run), "corpus": corpus, "publish": {"repo": repo}, "engine": ENGINES[engine]
        }  # fmt: skip
        deployment = self.server.get(f"/deployments/name/{DEPLOYMENT}")["id"]
        env = {ASKED: str(asked_file(run))}
        body = {
            "parameters": {"config": config},
            "job_variables": {"env": env},
            "state": {"type": "SCHEDULED"},
        }
        created: dict[str, Any] = self.server.post(f"/deployments/{deployment}/create_flow_run", body)
        return str(created["id"])

    def outcome(self, run: Path, repo: str) -> Outcome:
        summary = json.loads((run / "chaos" / "summary.json").read_text())
        repository = Repositories(self.root / "hub").get("dataset", repo)
        history = repository.history()
        files = {path: file.sha256 for path, file in history[0].files.items() if path.startswith("data/")}
        return Outcome(
            digest=summary["dataset"]["digest"],
            curves=summary["curves"],
            published=files,
            commits=len(history) - 1,
        )


def asked_file(run: Path) -> Path:
    return run / "asked.log"


def asked(run: Path) -> list[str]:
    """The keys of the requests that a model began with, in order."""
    with suppress(FileNotFoundError):
        return asked_file(run).read_text().split()
    return []


def progress(run: Path) -> int:
    """Requests begun and stage outputs finished."""
    return len(asked(run)) + sum(1 for _ in (run / "store" / "objects").glob("*/manifest.json"))


def flow_processes(run_id: str) -> list[psutil.Process]:
    """The processes that work on a flow run, wherever their parents are."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get("PREFECT__FLOW_RUN_ID") == run_id
            if ours and "prefect" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def vllm_processes() -> list[psutil.Process]:
    """The vLLM servers that runs below this process started (not their guardians)."""
    below = psutil.Process().children(recursive=True)
    found = []
    for process in below:
        with suppress(psutil.Error):
            line = process.cmdline()
            if "vllm.entrypoints.openai.api_server" in line and "lalm.vllm.guardian" not in line:
                found.append(process)
    return found


@contextmanager
def site(root: Path) -> Iterator[Site]:
    """All parts, started; ended with the block."""
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    port = free_port("127.0.0.1")
    more = {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_TOKEN": TOKEN, "HF_HOME": str(root / "hf"),
        "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "0",
    }  # fmt: skip
    with ExitStack() as stack:
        database = stack.enter_context(running_postgres(binaries))
        server = stack.enter_context(running_prefect(root / "prefect", database, **more))
        made = Site(root, server, port)
        stack.callback(made.close)
        made.open()
        yield made
