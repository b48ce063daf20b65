"""A running Hub, a dataset to publish, and patience that does not wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils import _http

from augment.hub.dataset import publish_dataset
from augment.hub.patience import Patience
from augment.hub.publication import Place, Publication
from tests.support.examples import build_dataset
from tests.support.hub import Hub, running_hub

IDS = tuple("abcdef")
REPO = "toy/data"


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def titles(hub: Hub, revision: str = "main") -> list[str]:
    """Of the commits that publications made, the newest first."""
    return [c.title for c in hub.repository(REPO).history(revision) if c.title.startswith("Publish ")]


def write_adapter_manifest(directory: Path, **changes: Any) -> None:
    """A manifest.json as fine-tuning writes one."""
    known = {
        "adapter_digest": "ad" * 32, "base_model": "micro-lalm", "base_digest": "ba" * 32, "prompt_hash": "f00d",
        "offline_digest": "0f" * 32, "dataset_digest": "da" * 32, "offline_utterances": 600,
        "augmented_rows": 6, "augmented_weight": 0.25, "drawn": {"offline": 3, "augmented": 1}, "skipped": {},
        "target_tokens": 99, "loss_first": 2.5, "loss_last": 1.25, "trainable_parameters": 1024, "seed": 7,
        "config": {"steps": 4}, "format_version": 1,
    }  # fmt: skip
    (directory / "manifest.json").write_text(json.dumps(known | changes))


@pytest.fixture(autouse=True)
def lonely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Plain LFS, a cache of its own, no login of whoever runs the tests, and afterwards the client as it was."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-login"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield
    set_client_factory(_http.default_client_factory)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with running_hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three shards under an open licence; publishing only reads it."""
    root = tmp_path_factory.mktemp("built")
    build_dataset(root, IDS, n_shards=3)
    return root / "dataset"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited for, by us and by the client, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    return Patience(sleep=waits.append)


@pytest.fixture
def publish(hub: Hub, dataset: Path, patience: Patience) -> Callable[..., Publication]:
    """Publish with the defaults of a user who named a repository and nothing else."""

    def call(
        directory: Path = dataset, *, patience: Patience = patience, dry_run: bool = False, **wishes: Any
    ) -> Publication:
        place = Place(repo=REPO, **wishes)
        return publish_dataset(
            directory, place, token=hub.token, endpoint=hub.url, dry_run=dry_run, patience=patience
        )

    return call
