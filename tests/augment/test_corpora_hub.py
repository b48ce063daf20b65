"""A dataset on the Hub is read at one commit, shard by shard; trouble on the way loses no row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants, set_client_factory
from huggingface_hub.utils import _http

from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.hub.errors import HubError
from augment.schema import Utterance
from tests.support.corpora import write_parquet
from tests.support.hub import Hub, running_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload
REPO = "toy/speech"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The test Hub as the default one, a cache of its own, its token as the login."""
    with running_hub(tmp_path / "hub") as running:
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setenv("HF_TOKEN", running.token)
        yield running
    set_client_factory(_http.default_client_factory)


def upload(hub: Hub, root: Path, *, folder: str = "") -> None:
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo(REPO, repo_type="dataset", exist_ok=True)
    files = [path for path in root.rglob("*") if path.is_file()]
    adds = [
        CommitOperationAdd(folder + path.relative_to(root).as_posix(), path.read_bytes()) for path in files
    ]
    api.create_commit(REPO, adds, commit_message="data", repo_type="dataset")


def on_hub(config: CorpusConfig, where: str) -> CorpusConfig:
    return CorpusConfig.model_validate(config.model_dump() | {"root": f"hf://datasets/{REPO}@{where}"})


def test_dataset_on_the_hub_reads_like_the_same_folder(hub: Hub, tmp_path: Path) -> None:
    here = write_parquet(tmp_path / "local")
    upload(hub, tmp_path / "local", folder="en_de/")
    local, remote = open_corpus(here, "train"), open_corpus(on_hub(here, "main/en_de"), "train")
    assert list(remote) == list(local)
    assert remote.digest() == local.digest()
    (first, *_) = (entry for entry in remote if isinstance(entry, Utterance))
    assert (remote.load_audio(first) == local.load_audio(first)).all()


def test_shards_are_downloaded_when_they_are_reached(hub: Hub, tmp_path: Path) -> None:
    here = write_parquet(tmp_path / "local")
    upload(hub, tmp_path / "local")
    entries = iter(open_corpus(on_hub(here, "main"), "train"))
    cached = tmp_path / "cache"
    assert not list(cached.rglob("*.parquet"))
    next(entries)
    assert [path.name for path in cached.rglob("*.parquet")] == ["train-00000-of-00002.parquet"]
    assert len(list(entries)) == 4
    assert len(list(cached.rglob("*.parquet"))) == 2


def test_open_corpus_stays_at_its_commit_when_the_branch_moves(hub: Hub, tmp_path: Path) -> None:
    here = write_parquet(tmp_path / "old")
    upload(hub, tmp_path / "old")
    corpus = open_corpus(on_hub(here, "main"), "train")
    write_parquet(tmp_path / "new", 9)
    upload(hub, tmp_path / "new")
    assert len(list(corpus)) == 5
    assert len(list(open_corpus(on_hub(here, "main"), "train"))) == 9


def test_absent_split_repository_or_revision_is_refused(hub: Hub, tmp_path: Path) -> None:
    here = write_parquet(tmp_path / "local")
    upload(hub, tmp_path / "local")
    with pytest.raises(CorpusError, match=r"test-00000-of-\*\.parquet.*found \['data/train-00000"):
        open_corpus(on_hub(here, "main"), "test")
    with pytest.raises(HubError, match="no such revision"):
        open_corpus(on_hub(here, "v9"), "train")
    for root in (f"hf://datasets/{REPO}", "hf://datasets/toy@main", f"hf://datasets/{REPO}@"):
        with pytest.raises(CorpusError, match="is not hf://datasets/NAMESPACE/NAME@REVISION"):
            open_corpus(CorpusConfig.model_validate(here.model_dump() | {"root": root}), "train")


def test_offline_a_half_downloaded_dataset_is_not_taken_for_a_whole_one(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = write_parquet(tmp_path / "local")
    upload(hub, tmp_path / "local")
    next(iter(open_corpus(on_hub(here, "main"), "train")))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CorpusError, match=r"HF_HUB_OFFLINE=1.*hf download"):
        open_corpus(on_hub(here, "main"), "train")


def test_shard_that_cannot_be_had_stops_the_reading_and_is_not_taken_for_bad_rows(
    hub: Hub, tmp_path: Path
) -> None:
    here = write_parquet(tmp_path / "local")
    upload(hub, tmp_path / "local")
    entries = iter(open_corpus(on_hub(here, "main"), "train"))
    assert isinstance(next(entries), Utterance)
    hub.repository(REPO).resolve("main").files.pop("data/train-00001-of-00002.parquet")
    with pytest.raises(HubError, match=REPO):
        list(entries)
