"""A scheduled run from end to end: PostgreSQL, a Prefect server, setup.sh, a worker, and the Hub it publishes to."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.deployments import PREFECT_YAML
from tests.support.hub import Hub, running_hub
from tests.support.postgres import require_postgres, running_postgres
from tests.support.prefect_server import REPOSITORY, PrefectServer, running_prefect, until

pytestmark = pytest.mark.slow

TINY = "run-simulsa/tiny"
REPO = "toy/scheduled"
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Webhook(ThreadingHTTPServer):
    """A server on loopback that keeps every JSON it is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keeping)
        self.url = f"http://127.0.0.1:{self.server_port}/run-failed"
        self.received: list[dict[str, Any]] = []


class _Keeping(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.received.append(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a deployed simulsa has around it."""

    prefect: PrefectServer
    hub: Hub
    webhook: Webhook
    outputs: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything up, deployments/setup.sh run against it, one worker for the pool `cpu`."""
    home = tmp_path_factory.mktemp("scheduled")
    webhook = Webhook()
    threading.Thread(target=webhook.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    with running_postgres(require_postgres()) as database, running_hub(home / "hub") as hub:
        settings = {
            "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0", "WEBHOOK_URL": webhook.url, "PYTHON": sys.executable,
        }  # fmt: skip
        with running_prefect(home / "prefect", database, **settings) as prefect:
            done = subprocess.run(
                ["sh", "deployments/setup.sh"], cwd=REPOSITORY, env=prefect.env, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout
            prefect.worker("cpu")
            yield Site(prefect=prefect, hub=hub, webhook=webhook, outputs=home / "outputs")
    webhook.shutdown()
    webhook.server_close()


def test_setup_makes_pools_with_their_limits_and_deploys_every_flow(site: Site) -> None:
    pools = {pool["name"]: pool["concurrency_limit"] for pool in site.prefect.post("/work_pools/filter", {})}
    assert pools == {"cpu": 2, "gpu-generate": 1, "gpu-train": 1}
    deployed = {each["entrypoint"] for each in site.prefect.post("/deployments/filter", {})}
    assert deployed == {
        each["entrypoint"] for each in yaml.safe_load(PREFECT_YAML.read_text())["deployments"]
    }
    automations = {each["name"] for each in site.prefect.post("/automations/filter", {})}
    assert automations == {"crash-zombies", "notify-failure"}


def test_a_schedule_fires_by_itself_and_its_second_run_finds_nothing_to_publish(site: Site) -> None:
    deployment = site.prefect.get(f"/deployments/name/{TINY}")
    config = deployment["parameters"]["config"] | {
        "outputs": str(site.outputs), "publish": {"repo": REPO}
    }  # fmt: skip
    config["corpus"] = config["corpus"] | {"root": str(site.outputs / "corpus")}
    every = {
        "schedule": {"interval": 15, "anchor_date": "2026-01-01T00:00:00Z"},
        "parameters": {"config": config}, "active": True,
    }  # fmt: skip
    [made] = site.prefect.post(f"/deployments/{deployment['id']}/schedules", [every])

    first, second = until(
        lambda: finished(site.prefect, 2), 300, "two scheduled runs have ended", site.prefect.explain
    )
    site.prefect.delete(f"/deployments/{deployment['id']}/schedules/{made['id']}")

    for run in (first, second):
        assert run["auto_scheduled"]
        assert run["state_type"] == "COMPLETED", site.prefect.explain()
    assert second["start_time"] >= first["end_time"], "one at a time"
    history = [commit.title for commit in site.hub.repository(REPO).history()]
    assert len(history) == 2, f"one commit beside the Hub's own: {history}"
    summary = json.loads((site.outputs / "tiny" / "summary.json").read_text())
    assert summary["requests"] == {"issued": 0, "replayed": 0}
    published = json.loads(site.hub.content(REPO)["manifest.json"])
    assert published["dataset_digest"] == summary["dataset"]["digest"]


def test_a_run_that_fails_calls_the_webhook(site: Site) -> None:
    deployment = site.prefect.get("/deployments/name/publish-dataset/covost2-en-de")
    nothing = {"dataset_dir": str(site.outputs / "nowhere"), "config": {"repo": REPO}}
    run = site.prefect.post(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": nothing})
    assert site.prefect.reach(run["id"], *FINAL) == "FAILED"
    told = until(lambda: site.webhook.received, 60, "the webhook is called", site.prefect.explain)
    assert told[0]["id"] == run["id"]
    assert (told[0]["flow"], told[0]["state"]) == ("publish-dataset", "Failed")


def test_a_parameter_that_the_flow_does_not_know_is_refused_by_the_server(site: Site) -> None:
    deployment = site.prefect.get(f"/deployments/name/{TINY}")
    wrong = deployment["parameters"]["config"] | {"finetun": {}}
    with pytest.raises(AssertionError, match="finetun"):
        site.prefect.post(
            f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"config": wrong}}
        )


def finished(prefect: PrefectServer, count: int) -> list[dict[str, Any]] | None:
    """The first runs of the schedule that have ended, oldest first, once there are so many."""
    ended = [run for run in prefect.runs(TINY) if run["state_type"] in FINAL]
    return sorted(ended, key=lambda run: run["start_time"])[:count] if len(ended) >= count else None
