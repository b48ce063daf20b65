"""Two processes that publish the same at once make one commit, and neither fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from augment.hub.remote import Remote
from augment.hub.turns import turn
from tests.augment.hub.conftest import REPO, contents, titles
from tests.support.hub import Hub

LOCKS = Path("/proc/locks")


@pytest.mark.slow
@pytest.mark.skipif(not LOCKS.exists(), reason="only Linux tells who waits for a lock")
def test_two_processes_that_publish_at_once_make_one_commit(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    env = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "flows.cli", "publish", str(dataset), "--repo", REPO, "--json"]
    with turn(Remote(REPO, "dataset", token=hub.token, endpoint=hub.url)):
        both = [
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for process in both:
            wait_until_it_waits(process)

    said = [process.communicate() for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    answers = [json.loads(out) for out, _ in said]
    assert sorted(answer["status"] for answer in answers) == ["published", "unchanged"]
    assert answers[0]["commit"] == answers[1]["commit"]
    assert len(titles(hub)) == 1
    assert hub.content(REPO) == contents(dataset)


def wait_until_it_waits(process: subprocess.Popen[str], timeout_s: float = 120) -> None:
    """Return when the process waits for a lock that another holds; it must not do anything before."""
    deadline = time.monotonic() + timeout_s
    while not any("->" in line and f" {process.pid} " in line for line in LOCKS.read_text().splitlines()):
        assert process.poll() is None, "it published out of turn"
        assert time.monotonic() < deadline, "it neither waits nor ends"
        time.sleep(0.02)
