"""The Hub of these tests answers the real client as the real one does; what it got wrong, every other test would."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, HfFileSystem, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.support.hub import READ_TOKEN, Hub, Repositories

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload
REPO = "toy/model"


@pytest.fixture
def api(hub: Hub) -> HfApi:
    made = HfApi(endpoint=hub.url, token=hub.token)
    made.create_repo(REPO, private=True)
    return made


def add(name: str, content: bytes) -> CommitOperationAdd:
    return CommitOperationAdd(name, content)


def test_files_of_both_kinds_come_back_whole_and_in_parts(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    files = {
        "README.md": b"---\nlicense: mit\n---\n# small",
        "deep/er/model.safetensors": bytes(range(256)) * 99,
    }
    api.create_commit(REPO, [add(n, c) for n, c in files.items()], commit_message="both")

    root = Path(snapshot_download(REPO, endpoint=hub.url, token=hub.token, cache_dir=tmp_path / "hf"))
    assert {name: (root / name).read_bytes() for name in files} == files
    with HfFileSystem(endpoint=hub.url, token=hub.token, skip_instance_cache=True).open(
        f"{REPO}/deep/er/model.safetensors", block_size=100
    ) as stream:
        stream.seek(1000)
        assert stream.read(24) == files["deep/er/model.safetensors"][1000:1024]
    (large,) = api.get_paths_info(REPO, "deep/er/model.safetensors")
    assert (large.size, large.lfs is not None) == (256 * 99, True)


def test_branches_tags_and_history_are_kept_apart(api: HfApi) -> None:
    first = api.create_commit(REPO, [add("a.txt", b"1")], commit_message="first").oid
    api.create_branch(REPO, branch="side/way")
    api.create_tag(REPO, tag="v1", revision=first)
    api.create_commit(REPO, [add("a.txt", b"2")], commit_message="second", revision="side/way")
    api.create_commit(REPO, [CommitOperationDelete("a.txt")], commit_message="gone")

    assert [c.title for c in api.list_repo_commits(REPO)] == ["gone", "first", "initial commit"]
    assert api.list_repo_commits(REPO, revision="side/way")[0].title == "second"
    assert not api.file_exists(REPO, "a.txt")
    assert api.file_exists(REPO, "a.txt", revision="v1")
    api.delete_branch(REPO, branch="side/way")
    api.delete_tag(REPO, tag="v1")
    refs = api.list_repo_refs(REPO)
    assert ([branch.name for branch in refs.branches], refs.tags) == (["main"], [])


def test_a_stale_parent_a_missing_object_and_a_missing_file_are_refused(hub: Hub, api: HfApi) -> None:
    head = api.model_info(REPO).sha
    api.create_commit(REPO, [add("a.txt", b"1")], commit_message="first")
    with pytest.raises(HfHubHTTPError) as stale:
        api.create_commit(REPO, [add("b.txt", b"1")], commit_message="late", parent_commit=head)
    assert stale.value.response.status_code == 412
    with pytest.raises(EntryNotFoundError):
        api.create_commit(REPO, [CommitOperationDelete("no.txt")], commit_message="x")
    pointer = add("b.bin", b"never sent")
    pointer._upload_mode, pointer._is_uploaded = "lfs", True
    with pytest.raises(HfHubHTTPError, match="does not exist"):
        api.create_commit(REPO, [pointer], commit_message="x")
    assert hub.content(REPO, kind="model") == {"a.txt": b"1"}


def test_what_is_missing_or_hidden_has_its_own_error(hub: Hub, api: HfApi) -> None:
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="v9")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("toy/none")
    with pytest.raises(RepositoryNotFoundError) as hidden:
        HfApi(endpoint=hub.url, token=False).model_info(REPO)
    assert hidden.value.response.status_code == 401
    assert HfApi(endpoint=hub.url, token=READ_TOKEN).model_info(REPO).private
    with pytest.raises(HfHubHTTPError) as reader:
        HfApi(endpoint=hub.url, token=READ_TOKEN).create_branch(REPO, branch="x")
    assert reader.value.response.status_code == 403


def test_everything_is_on_disk_before_it_is_answered(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    commit = api.create_commit(REPO, [add("a.bin", b"1")], commit_message="first").oid
    again = Repositories(tmp_path / "hub")
    head = again.get("model", REPO).resolve("main")
    assert (head.oid, again.read(head.files["a.bin"].sha256)) == (commit, b"1")
    api.delete_repo(REPO)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(REPO)
