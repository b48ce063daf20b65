"""A fetched dataset is the published one, or it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from augment.hub.errors import HubError
from augment.hub.fetch import fetch_dataset
from augment.hub.patience import Patience
from augment.hub.publication import Publication
from augment.manifest import DatasetError, load_manifest
from augment.shards import ShardError
from tests.augment.hub.conftest import IDS, REPO
from tests.support.examples import build_dataset
from tests.support.hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload


@pytest.fixture
def fetch(hub: Hub, tmp_path: Path, patience: Patience) -> Callable[..., Path]:
    def call(revision: str = "main") -> Path:
        return fetch_dataset(
            REPO, revision, token=hub.token, endpoint=hub.url, cache_dir=tmp_path / "hf", patience=patience
        )

    return call


def test_a_revision_is_fetched_as_it_was_published(
    publish: Callable[..., Publication], fetch: Callable[..., Path], dataset: Path, tmp_path: Path
) -> None:
    publish(tag="v1")
    build_dataset(tmp_path / "new", IDS[:4], n_shards=2)
    publish(tmp_path / "new" / "dataset")

    assert load_manifest(fetch("v1")) == load_manifest(dataset)
    assert load_manifest(fetch("main")) == load_manifest(tmp_path / "new" / "dataset")


def test_what_was_fetched_is_found_again_offline(
    publish: Callable[..., Publication], fetch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tag="v1")
    online = fetch("v1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert fetch("v1") == online
    with pytest.raises(HubError, match=r"toy/data@v2 is not in the local cache"):
        fetch("v2")


def test_a_dataset_that_lacks_a_shard_is_refused(
    hub: Hub, publish: Callable[..., Publication], fetch: Callable[..., Path]
) -> None:
    publish()
    hub.repository(REPO).resolve("main").files.pop("data/train-00001-of-00003.parquet")
    with pytest.raises(
        ShardError, match=r"train-00001-of-00003\.parquet is named by the manifest but is missing"
    ):
        fetch()


def test_a_shard_of_another_dataset_is_refused(
    hub: Hub, publish: Callable[..., Publication], fetch: Callable[..., Path]
) -> None:
    publish()
    files = hub.repository(REPO).resolve("main").files
    files["data/train-00000-of-00003.parquet"] = files["data/train-00002-of-00003.parquet"]
    with pytest.raises(ShardError, match=r"train-00000-of-00003\.parquet must have bytes"):
        fetch()


@pytest.mark.parametrize("name", ["rejected.parquet", "evidence.parquet", "pictures/kept-share.png"])
@pytest.mark.parametrize("damage", ["another", "missing"])
def test_a_file_beside_the_shards_that_is_not_what_was_published_is_refused(
    hub: Hub, publish: Callable[..., Publication], fetch: Callable[..., Path], name: str, damage: str
) -> None:
    publish()
    files = hub.repository(REPO).resolve("main").files
    if damage == "missing":
        files.pop(name)
    else:
        files[name] = files["pictures/kept-seconds.png"]
    with pytest.raises(DatasetError, match=rf"{name} must have sha256 \w+ but (has|is missing)"):
        fetch()


def test_a_repository_without_a_manifest_is_no_dataset_of_ours(hub: Hub, fetch: Callable[..., Path]) -> None:
    made = hub.repositories.create("dataset", REPO, private=False)
    hub.repositories.push(made, {"README.md": b"# another's"})
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        fetch()


@pytest.mark.parametrize("where", ["shards", "files"])
@pytest.mark.parametrize("path", ["../../secret.parquet", "/etc/passwd", "data/../../x.parquet"])
def test_a_manifest_cannot_name_files_outside(
    hub: Hub, publish: Callable[..., Publication], fetch: Callable[..., Path], path: str, where: str
) -> None:
    publish()
    manifest = json.loads(hub.content(REPO)["manifest.json"])
    if where == "shards":
        manifest["shards"][0]["path"] = path
    else:
        manifest["files"][path] = "0" * 64
    hub.repositories.push(hub.repository(REPO), {"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(DatasetError, match="leads outside of the dataset"):
        fetch()


@pytest.mark.parametrize(("status", "message"), [(401, "set HF_TOKEN"), (403, "token may not")])
def test_a_refusal_is_explained(hub: Hub, fetch: Callable[..., Path], status: int, message: str) -> None:
    hub.fault("GET", "/revision/", status=status)
    with pytest.raises(HubError, match=message):
        fetch()


def test_a_repository_and_a_revision_that_are_not_there_are_told_apart(
    publish: Callable[..., Publication], fetch: Callable[..., Path]
) -> None:
    with pytest.raises(HubError, match="no such repository"):
        fetch()
    publish()
    with pytest.raises(HubError, match="no such revision"):
        fetch("v9")


def test_an_older_snapshot_is_never_passed_off_as_the_newest(
    hub: Hub, publish: Callable[..., Publication], fetch: Callable[..., Path], tmp_path: Path
) -> None:
    publish()
    fetch()
    build_dataset(tmp_path / "new", IDS[:4], n_shards=2)
    publish(tmp_path / "new" / "dataset")
    hub.fault("GET", "/revision/", skip=1, status=503)  # the client would answer this from its cache

    with pytest.raises(HubError, match="the Hub stopped answering, or it moved"):
        fetch()
    assert load_manifest(fetch()) == load_manifest(tmp_path / "new" / "dataset")


def test_an_ill_hub_is_waited_for(
    hub: Hub, publish: Callable[..., Publication], fetch: Callable[..., Path], dataset: Path
) -> None:
    publish()
    hub.fault("GET", "/objects/", status=503)
    hub.fault("GET", "/revision/", "drop")
    assert load_manifest(fetch()) == load_manifest(dataset)
