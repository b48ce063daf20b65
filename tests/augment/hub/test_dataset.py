"""A published dataset is one commit that holds exactly what the directory does, and no one else's file goes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from augment.hub.dataset import publish_dataset
from augment.hub.diff import Diff
from augment.hub.errors import HubError
from augment.hub.publication import Place
from augment.hub.remote import Remote
from augment.hub.verify import verify_commit
from augment.manifest import load_manifest
from augment.publish import PublishError
from tests.augment.hub.conftest import IDS, REPO, contents, titles
from tests.support.examples import build_dataset
from tests.support.hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def uploaded(hub: Hub) -> list[str]:
    return [request.path for request in hub.requests if request.method == "PUT"]


def test_one_private_commit_holds_every_byte_and_names_the_run(hub: Hub, dataset: Path, publish: Any) -> None:
    result = publish()

    assert hub.content(REPO) == contents(dataset)
    assert titles(hub) == [f"Publish 6 rows of simulsa ({result.digest[:12]})"]
    assert hub.repository(REPO).private
    assert (result.status, result.private, result.note[:10]) == ("published", True, "with audio")
    assert result.commit == hub.repository(REPO).resolve("main").oid
    assert set(result.added) == contents(dataset).keys()
    assert result.num_bytes == sum(map(len, contents(dataset).values()))


def test_publishing_again_makes_no_commit_and_uploads_no_byte(hub: Hub, publish: Any) -> None:
    first = publish()
    hub.requests.clear()

    again = publish()

    assert (again.status, again.commit, again.added, again.num_bytes) == ("unchanged", first.commit, (), 0)
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}
    assert len(titles(hub)) == 1


def test_a_file_list_in_many_pages_is_read_whole(hub: Hub, publish: Any) -> None:
    hub.page_size = 2
    publish()
    assert publish().status == "unchanged"


def test_a_newer_dataset_sends_what_changed_and_removes_what_is_gone(
    hub: Hub, dataset: Path, publish: Any, tmp_path: Path
) -> None:
    build_dataset(tmp_path / "new", IDS, n_shards=2)
    publish()
    hub.repositories.push(
        hub.repository(REPO), {"LICENSE": b"mine", "data/extra.parquet": b"would be loaded"}
    )
    hub.requests.clear()

    result = publish(tmp_path / "new" / "dataset")

    assert hub.content(REPO) == contents(tmp_path / "new" / "dataset") | {"LICENSE": b"mine"}
    new = set(hub.content(REPO).values()) - set(contents(dataset).values())
    assert sorted(uploaded(hub)) == sorted(f"/objects/{sha256(c)}" for c in new if c.startswith(b"PAR1"))
    assert set(result.removed) == {f"data/train-0000{i}-of-00003.parquet" for i in range(3)} | {
        "data/extra.parquet"
    }
    assert len(titles(hub)) == 2


def test_files_that_simulsa_did_not_publish_are_never_overwritten_nor_removed(hub: Hub, publish: Any) -> None:
    made = hub.repositories.create("dataset", REPO, private=True)
    hub.repositories.push(made, {"data/years-of-work.parquet": b"precious"})

    with pytest.raises(HubError, match=r"did not publish.*years-of-work.*another repository"):
        publish()
    assert hub.content(REPO) == {"data/years-of-work.parquet": b"precious"}


def test_a_private_publication_never_lands_in_a_public_repository(hub: Hub, publish: Any) -> None:
    hub.repositories.create("dataset", REPO, private=False)

    for dry_run in (True, False):
        with pytest.raises(HubError, match=r"is public, but a private publication.*--public"):
            publish(dry_run=dry_run)
    assert hub.content(REPO) == {}
    assert publish(private=False).status == "published"


def test_public_on_request(hub: Hub, publish: Any) -> None:
    assert publish(private=False).private is False
    assert not hub.repository(REPO).private


def test_a_dry_run_says_what_a_publication_would_do_and_only_reads(hub: Hub, publish: Any) -> None:
    before = publish(dry_run=True)
    assert {request.method for request in hub.requests} == {"GET"}

    real = publish()

    assert (before.status, before.commit) == ("dry_run", None)
    assert (before.added, before.changed, before.num_bytes) == (real.added, (), real.num_bytes)
    assert publish(dry_run=True).added == ()


def test_a_licence_that_is_not_known_lets_text_leave_but_no_audio(
    hub: Hub, publish: Any, tmp_path: Path
) -> None:
    build_dataset(tmp_path / "closed", IDS, license="proprietary")

    result = publish(tmp_path / "closed" / "dataset")

    assert result.note == "without audio: the licence 'proprietary' is not known to allow sharing audio"
    assert not any(b"fLaC" in content for content in hub.content(REPO).values())
    assert publish(tmp_path / "closed" / "dataset").status == "unchanged"


def test_a_no_derivatives_licence_refuses_before_any_request(hub: Hub, publish: Any, tmp_path: Path) -> None:
    build_dataset(tmp_path / "nd", IDS, license="cc-by-nc-nd-4.0")

    with pytest.raises(PublishError, match="forbids sharing derivatives"):
        publish(tmp_path / "nd" / "dataset")
    assert hub.requests == []


def test_a_branch_is_made_and_main_stays_as_it_was(hub: Hub, dataset: Path, publish: Any) -> None:
    assert publish(branch="next/v2").revision == "next/v2"
    assert hub.content(REPO, "next/v2") == contents(dataset)
    assert hub.content(REPO) == {}


def test_a_pull_request_is_opened_once(hub: Hub, dataset: Path, publish: Any) -> None:
    first, again = publish(pull_request=True), publish(pull_request=True)

    assert (first.status, again.status) == ("published", "unchanged")
    assert first.pull_request == again.pull_request == f"{hub.url}/datasets/{REPO}/discussions/1"
    assert len(hub.repository(REPO).pulls) == 1
    assert hub.content(REPO, "refs/pr/1") == contents(dataset)
    assert hub.content(REPO) == {}


def test_a_tag_names_the_commit_and_is_never_moved(hub: Hub, publish: Any, tmp_path: Path) -> None:
    first = publish(tag="v1")
    assert publish(tag="v1").status == "unchanged"
    build_dataset(tmp_path / "new", IDS, n_shards=2)
    hub.requests.clear()

    with pytest.raises(HubError, match="tag 'v1' names other content"):
        publish(tmp_path / "new" / "dataset", tag="v1")

    assert hub.repository(REPO).refs["refs/tags/v1"] == first.commit
    assert {request.method for request in hub.requests} == {"GET"}


def test_a_pull_request_excludes_a_tag(hub: Hub, publish: Any) -> None:
    with pytest.raises(HubError, match="excludes a branch and a tag"):
        publish(pull_request=True, tag="v1")
    assert hub.requests == []


def test_what_a_person_wrote_on_the_card_survives(hub: Hub, publish: Any, tmp_path: Path) -> None:
    publish()
    card = hub.content(REPO)["README.md"].decode()
    by_hand = (
        card.replace("license: cc0-1.0", "license: cc0-1.0\nannotations_creators: [us]") + "\n## Thanks\n"
    )
    hub.repositories.push(hub.repository(REPO), {"README.md": by_hand.encode()})
    build_dataset(tmp_path / "new", IDS[:4])

    publish(tmp_path / "new" / "dataset")

    merged = hub.content(REPO)["README.md"].decode()
    assert merged.endswith("\n## Thanks\n")
    assert "annotations_creators:\n- us\n" in merged
    assert "| **rows** | **4** |" in merged
    assert publish(tmp_path / "new" / "dataset").status == "unchanged"


def test_a_file_that_the_hub_left_out_is_reported(hub: Hub, publish: Any) -> None:
    made = hub.repositories.create("dataset", REPO, private=True)
    hub.repositories.push(made, {".gitignore": b"evidence.parquet\n"})

    with pytest.raises(
        HubError, match=r"not what was published: missing \['evidence.parquet'\].*\.gitignore"
    ):
        publish()


def test_rows_are_counted_in_what_the_hub_gives_back(hub: Hub, dataset: Path, publish: Any) -> None:
    commit = publish().commit
    shard = load_manifest(dataset).shards[2]
    remote = Remote(REPO, "dataset", token=hub.token, endpoint=hub.url)
    nothing = Diff(added=(), changed=(), removed=(), num_bytes=0)

    verify_commit(remote, commit, nothing, {shard.path: shard.rows})
    with pytest.raises(HubError, match=f"must have {shard.rows + 1} rows but has {shard.rows}"):
        verify_commit(remote, commit, nothing, {shard.path: shard.rows + 1})


def test_the_token_must_be_there_before_anything_is_sent(hub: Hub, dataset: Path) -> None:
    with pytest.raises(HubError, match="needs a Hub token: set HF_TOKEN"):
        publish_dataset(dataset, Place(repo=REPO), endpoint=hub.url)
    assert hub.requests == []
