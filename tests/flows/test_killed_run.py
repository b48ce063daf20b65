"""A run that is killed leaves no server behind, is shown as killed, and is continued by its rerun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.config import dump_config
from flows.history import all_records
from flows.leftovers import MARK, SERVER
from flows.run_status import run_status
from tests.support.command import issued_twice
from tests.support.random_run import random_run

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "import flows.commands.runs; from flows.cli import main; main()"]


def test_killed_run_leaves_no_server_and_its_rerun_continues(tmp_path: Path) -> None:
    config = tmp_path / "toy.yaml"
    config.write_text(dump_config(random_run(tmp_path, 24, dataset={"n_shards": 6})))
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    env["PREFECT_HOME"] = str(tmp_path / "prefect")
    process = subprocess.Popen([*COMMAND, "build", str(config)], env=env, stderr=subprocess.DEVNULL)
    objects = tmp_path / "outputs" / "store" / "objects"
    until(lambda: len(list(objects.glob("*/manifest.json"))) >= 4 or process.poll() is not None)
    (server,) = servers_of(process.pid)

    process.kill()  # of this one process: what it started has to be ended by somebody else

    assert process.wait() == -9, "the run ended before the kill: the test proves nothing"
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    (record,) = all_records(tmp_path / "outputs")
    assert run_status(record)["state"] == "killed"

    again = [*COMMAND, "rerun", "toy", "--outputs", str(tmp_path / "outputs"), "--json"]
    done = subprocess.run(again, env=env, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-3000:]
    summary: dict[str, Any] = json.loads(done.stdout)
    assert summary["dataset"]["selected"] == 24
    assert sum(stage["cached"] for stage in summary["stages"]) >= 4
    assert issued_twice(tmp_path / "outputs") == 0


def servers_of(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if SERVER in child.cmdline() and MARK in child.environ()]


def until(holds: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to it in time"
        time.sleep(0.02)
