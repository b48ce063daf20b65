"""Two processes that publish the same at once make one commit, and neither fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.augment.hub.conftest import REPO, contents, titles
from tests.support.hub import Hub


@pytest.mark.slow
def test_two_processes_that_publish_at_once_make_one_commit(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    env = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "flows.cli", "publish", str(dataset), "--repo", REPO, "--json"]
    both = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    said = [process.communicate() for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    answers = [json.loads(out) for out, _ in said]
    assert sorted(answer["status"] for answer in answers) == ["published", "unchanged"]
    assert answers[0]["commit"] == answers[1]["commit"]
    assert len(titles(hub)) == 1
    assert hub.content(REPO) == contents(dataset)
