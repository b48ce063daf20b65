"""A disk without room refuses in a sentence; what was there stays, and nothing half-written counts."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from augment.assemble import DatasetConfig, assemble_shard
from augment.atomic import DiskFullError
from augment.manifest import DatasetError, load_manifest, verify_dataset
from augment.publish import publish_to_directory
from augment.schema import Shard
from lalm.errors import SimulsaError
from tasks.store import Store
from tests.support.examples import PROVENANCE, build_dataset, load_kept, target, truncated

IDS = tuple("abcdefgh")


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """The system takes no more bytes than these for any file of this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def assemble(part: Path) -> Shard:
    return assemble_shard(
        part, index=0, pairs=[(truncated(id), target(id)) for id in IDS], rejections=[], load_kept=load_kept,
        provenance=PROVENANCE, config=DatasetConfig(n_shards=1),
    )  # fmt: skip


@pytest.mark.parametrize("room", [0, 100, 40_000])
def test_a_shard_without_room_names_its_directory_and_leaves_no_file(tmp_path: Path, room: int) -> None:
    with (
        files_of_at_most(room),
        pytest.raises(DiskFullError, match=r"part/data takes no more bytes \(File too"),
    ):
        assemble(tmp_path / "part")

    assert files_below(tmp_path) == []


def test_the_shard_that_was_there_stays(tmp_path: Path) -> None:
    shard = assemble(tmp_path / "part")
    before = (tmp_path / "part" / shard.path).read_bytes()

    with files_of_at_most(len(before) // 2), pytest.raises(DiskFullError):
        assemble(tmp_path / "part")

    assert (tmp_path / "part" / shard.path).read_bytes() == before
    assert assemble(tmp_path / "part") == shard


def test_a_stage_without_room_leaves_nothing_that_counts_and_goes_on_when_there_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def write(out: Path) -> dict[str, int]:
        return {"rows": assemble(out).rows}

    with files_of_at_most(40_000), pytest.raises(SimulsaError, match=r"(?i)space.*nothing of it counts"):
        store.ensure("assemble", 1, {}, write)
    assert files_below(tmp_path / "store") == []

    made = store.ensure("assemble", 1, {}, write)
    assert (made.cached, made.info) == (False, {"rows": len(IDS)})


def test_a_dataset_whose_card_finds_no_room_does_not_exist(tmp_path: Path) -> None:
    build_dataset(tmp_path / "whole", IDS)
    largest_part = max(
        path.stat().st_size for path in (tmp_path / "whole" / "parts").rglob("*") if path.is_file()
    )
    assert largest_part > 2_000

    with files_of_at_most(2_000), pytest.raises(DiskFullError):
        build_dataset(tmp_path / "again", IDS)

    with pytest.raises(DatasetError, match="no dataset was finished there"):
        load_manifest(tmp_path / "again" / "dataset")


def test_a_publication_without_room_leaves_the_published_one(tmp_path: Path) -> None:
    build_dataset(tmp_path / "one", IDS[:4])
    build_dataset(tmp_path / "two", IDS)
    published = publish_to_directory(tmp_path / "one" / "dataset", tmp_path / "public", audio=True)

    with files_of_at_most(20_000), pytest.raises(DiskFullError, match="takes no more bytes"):
        publish_to_directory(tmp_path / "two" / "dataset", tmp_path / "public", audio=True)

    assert verify_dataset(tmp_path / "public").dataset_digest == published.dataset_digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "public", "two"]
