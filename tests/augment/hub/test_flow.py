"""The publishing flow under a real Prefect server: its token comes from a Secret block and stays there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from augment.hub.config import HubDatasetConfig, PublishConfig
from tests.augment.hub.conftest import REPO, contents
from tests.support.hub import Hub

SCRIPT = """
import json, os, sys
from pathlib import Path
from prefect import flow
from prefect.blocks.system import Secret
from augment.hub.config import HubDatasetConfig, PublishConfig
from flows.publish_dataset import publish_dataset
from lalm.errors import SimulsaError
from tasks.publish import fetch_from_hub

token, dataset = sys.stdin.read(), Path(sys.argv[1])
@flow
def everything():
    Secret(value=token).save("hub-token")
    done = publish_dataset(dataset, PublishConfig(repo="toy/data", tag="v1", token_secret="hub-token"))
    fetched = fetch_from_hub(HubDatasetConfig(repo="toy/data", revision="v1", token_secret="hub-token"))
    try:
        publish_dataset(dataset, PublishConfig(repo="toy/data", token_secret="no-such"))
    except SimulsaError as error:
        refused = str(error)
    return [done["status"], fetched.info["digest"], fetched.info["rows"], refused]
print(json.dumps(everything()))
"""


@pytest.mark.slow
def test_the_flow_publishes_with_the_token_of_a_secret_block(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")} | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1",
        "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }  # fmt: skip

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(dataset)],
        input=hub.token, check=False, capture_output=True, text=True, env=env,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    status, digest, rows, refused = json.loads(done.stdout.splitlines()[-1])
    assert (status, rows) == ("published", 6)
    assert digest == json.loads((dataset / "manifest.json").read_text())["dataset_digest"]
    assert "no Prefect Secret block 'no-such'" in refused
    assert hub.content(REPO) == contents(dataset)
    assert hub.token not in done.stdout + done.stderr
    assert not any(hub.token.encode() in path.read_bytes() for path in (tmp_path / "prefect").rglob("*.db*"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"repo": "no-namespace"},
        {"repo": "a/b/c"},
        {"repo": "a/b", "pull_request": True, "tag": "v1"},
        {"repo": "a/b", "token": "hf_secret"},
    ],
)
def test_a_wrong_publish_section_is_refused_before_a_run(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        PublishConfig.model_validate(wrong)


def test_a_fetched_dataset_names_its_revision() -> None:
    with pytest.raises(ValueError, match="revision"):
        HubDatasetConfig.model_validate({"repo": "a/b"})
