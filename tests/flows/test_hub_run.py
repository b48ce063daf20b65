"""A run that publishes to a Hub, and one that fine-tunes on what was published, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Simulsa
from tests.support.hub import Hub, running_hub

pytestmark = pytest.mark.slow

REPO = "toy/simultaneous"
PUBLISH = ("--set", f"publish={{repo: {REPO}, tag: v1}}")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def simulsa(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Simulsa:
    home = tmp_path_factory.mktemp("published")
    simulsa = Simulsa(home)
    simulsa.env.pop("HF_HUB_OFFLINE")
    simulsa.env |= {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    return simulsa


@pytest.fixture(scope="module")
def first(simulsa: Simulsa) -> dict[str, Any]:
    return simulsa("run", "tiny", *PUBLISH)


def test_a_run_publishes_its_dataset_once(simulsa: Simulsa, hub: Hub, first: dict[str, Any]) -> None:
    before = commits(hub)
    assert before >= 1
    again = simulsa("run", "tiny", *PUBLISH)
    assert again["curves"] == first["curves"]
    assert commits(hub) == before, "unchanged data makes no commit"


def test_fine_tuning_on_the_published_dataset_gives_the_same_adapter(
    simulsa: Simulsa, first: dict[str, Any]
) -> None:
    other = simulsa.outputs / "elsewhere"
    published = ("--set", f"published={{repo: {REPO}, revision: v1}}")
    tuned = simulsa("finetune", "tiny", *published, outputs=other)
    assert tuned["dataset"]["digest"] == first["dataset"]["digest"]
    assert weights(other) == weights(simulsa.outputs)


def commits(hub: Hub) -> int:
    return len(hub.repository(REPO).commits)


def weights(outputs: Path) -> bytes:
    return (outputs / "tiny" / "adapters" / "simulsa" / "adapter_model.safetensors").read_bytes()
