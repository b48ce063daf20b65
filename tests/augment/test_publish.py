"""Publishing is atomic, verified, and bound by the licence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from augment import directories, publish
from augment.atomic import DiskFullError
from augment.licences import allows_audio, forbids_derivatives, hub_name, strictest
from augment.manifest import DatasetError, verify_dataset
from augment.publish import PublishError, publish_to_directory
from augment.records import read_records
from augment.schema import Rejection
from augment.shards import ShardError, read_shard
from tests.support.examples import build_dataset

IDS = tuple("abcdef")


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_open_licence_publishes_an_equal_copy_with_audio(tmp_path: Path) -> None:
    manifest = build_dataset(tmp_path, IDS, license="cc-by-4.0")

    result = publish_to_directory(tmp_path / "dataset", tmp_path / "public" / "v1")

    assert (result.status, result.audio_published) == ("published", True)
    assert contents(tmp_path / "public" / "v1") == contents(tmp_path / "dataset")
    assert verify_dataset(result.target) == manifest
    assert set(result.files) == contents(result.target).keys()
    assert result.num_bytes == sum(map(len, contents(result.target).values()))


def test_an_unknown_licence_publishes_text_and_references_but_no_audio(tmp_path: Path) -> None:
    built = build_dataset(tmp_path, IDS, license="unknown")

    result = publish_to_directory(tmp_path / "dataset", tmp_path / "public")

    published = verify_dataset(tmp_path / "public")
    rows = [row for shard in published.shards for row in read_shard(tmp_path / "public" / shard.path)]
    assert (result.audio_published, published.audio) == (False, "referenced")
    assert "'unknown' is not known to allow" in result.audio_reason
    assert len(rows) == len(IDS)
    assert all(row["audio"] is None and len(row["audio_ref"]["sha256"]) == 64 for row in rows)
    assert published.dataset_digest != built.dataset_digest
    assert "holds no audio" in (tmp_path / "public" / "README.md").read_text()


def test_a_copy_without_audio_loads_with_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    build_dataset(tmp_path, IDS, license="unknown")
    publish_to_directory(tmp_path / "dataset", tmp_path / "public")

    rows = datasets.load_dataset(str(tmp_path / "public"), split="train", cache_dir=str(tmp_path / "cache"))

    assert [row["audio"] for row in rows] == [None] * len(IDS)


@pytest.mark.parametrize("audio", [True, False])
def test_a_declared_choice_overrides_the_list_of_licences(tmp_path: Path, audio: bool) -> None:
    build_dataset(tmp_path, IDS, license="unknown" if audio else "cc0-1.0")

    result = publish_to_directory(tmp_path / "dataset", tmp_path / "public", audio=audio)

    assert result.audio_published is audio


@pytest.mark.parametrize("split", ["test", "tst-COMMON", "dev2010", "validation", "asr_test", "Test-clean"])
def test_a_dataset_made_of_a_split_that_others_measure_on_never_leaves(tmp_path: Path, split: str) -> None:
    build_dataset(tmp_path, IDS, license="cc0-1.0", splits=["train", split])

    with pytest.raises(PublishError, match=rf"made of the split {split}, which others measure on"):
        publish_to_directory(tmp_path / "dataset", tmp_path / "public")

    assert not (tmp_path / "public").exists()


@pytest.mark.parametrize(
    "split", ["train", "train_st", "latest", "devotional", "contestants", "train.clean.360"]
)
def test_a_train_split_is_not_taken_for_a_held_out_one(tmp_path: Path, split: str) -> None:
    build_dataset(tmp_path, IDS[:1], license="cc0-1.0", splits=[split])

    assert publish_to_directory(tmp_path / "dataset", tmp_path / "public").status == "published"
    assert verify_dataset(tmp_path / "public").splits == (split,)


def test_a_manifest_from_before_splits_were_named_is_still_read(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS[:1], license="cc0-1.0")
    path = tmp_path / "dataset" / "manifest.json"
    content = json.loads(path.read_text())
    del content["splits"]
    path.write_text(json.dumps(content))

    assert verify_dataset(tmp_path / "dataset").splits == ()


@pytest.mark.parametrize("name", ["rejected.parquet", "evidence.parquet", "pictures/length-ratio.png"])
def test_a_damaged_file_beside_the_shards_is_never_published(tmp_path: Path, name: str) -> None:
    build_dataset(tmp_path, IDS, license="cc0-1.0")
    content = (tmp_path / "dataset" / name).read_bytes()
    (tmp_path / "dataset" / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(DatasetError, match=f"{name} must have sha256"):
        publish_to_directory(tmp_path / "dataset", tmp_path / "public")
    assert not (tmp_path / "public").exists()


@pytest.mark.parametrize("license", ["cc-by-nc-nd-4.0", "CC BY-NC-ND 4.0", "cc-by-nd-3.0"])
def test_a_no_derivatives_licence_lets_nothing_leave(tmp_path: Path, license: str) -> None:
    build_dataset(tmp_path, IDS, license=license)

    with pytest.raises(PublishError, match="forbids sharing derivatives"):
        publish_to_directory(tmp_path / "dataset", tmp_path / "public", audio=True)

    assert not (tmp_path / "public").exists()


def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS)
    publish_to_directory(tmp_path / "dataset", tmp_path / "public")
    before = (tmp_path / "public").stat().st_ino

    assert publish_to_directory(tmp_path / "dataset", tmp_path / "public").status == "unchanged"
    assert (tmp_path / "public").stat().st_ino == before


def test_a_damaged_publication_is_mended(tmp_path: Path) -> None:
    manifest = build_dataset(tmp_path, IDS)
    publish_to_directory(tmp_path / "dataset", tmp_path / "public")
    shard = tmp_path / "public" / manifest.shards[0].path
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")

    assert publish_to_directory(tmp_path / "dataset", tmp_path / "public").status == "published"
    assert contents(tmp_path / "public") == contents(tmp_path / "dataset")


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_newer_dataset_replaces_the_older_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(directories, "_exchange", lambda one, other: False)
    build_dataset(tmp_path / "old", IDS, n_shards=3)
    build_dataset(tmp_path / "new", IDS, n_shards=2)
    publish_to_directory(tmp_path / "old" / "dataset", tmp_path / "public")

    publish_to_directory(tmp_path / "new" / "dataset", tmp_path / "public")

    assert contents(tmp_path / "public") == contents(tmp_path / "new" / "dataset")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old", "public"]


def test_a_publication_that_fails_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_dataset(tmp_path / "old", IDS, n_shards=3)
    build_dataset(tmp_path / "new", IDS, n_shards=2)
    publish_to_directory(tmp_path / "old" / "dataset", tmp_path / "public")

    def full_disk(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, "flush_tree", full_disk)
    with pytest.raises(DiskFullError, match="No space left"):
        publish_to_directory(tmp_path / "new" / "dataset", tmp_path / "public")

    assert contents(tmp_path / "public") == contents(tmp_path / "old" / "dataset")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old", "public"]


def test_a_dry_run_says_what_it_would_do_and_touches_nothing(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS)
    dry = publish_to_directory(tmp_path / "dataset", tmp_path / "deep" / "public", dry_run=True)
    assert not (tmp_path / "deep").exists()

    real = publish_to_directory(tmp_path / "dataset", tmp_path / "deep" / "public")

    assert (dry.files, dry.num_bytes, dry.dataset_digest) == (real.files, real.num_bytes, real.dataset_digest)


def test_a_damaged_dataset_is_not_published(tmp_path: Path) -> None:
    manifest = build_dataset(tmp_path, IDS)
    shard = tmp_path / "dataset" / manifest.shards[0].path
    content = shard.read_bytes()
    shutil.copyfile(shard, tmp_path / "copy")
    shard.unlink()
    shard.write_bytes(content[:-1] + b"\0")

    with pytest.raises(ShardError, match="sha256"):
        publish_to_directory(tmp_path / "dataset", tmp_path / "public")
    assert not (tmp_path / "public").exists()


def test_details_of_rejections_stay_on_the_machine_that_made_them(tmp_path: Path) -> None:
    secret = Rejection(id="x", stage="truncate", reason="audio_missing", detail="no x.wav in /home/me/corpus")
    build_dataset(tmp_path, IDS, rejections=[secret])

    publish_to_directory(tmp_path / "dataset", tmp_path / "public")

    (published,) = read_records(tmp_path / "public" / "rejected.parquet", Rejection)
    assert (published.reason, published.detail) == ("audio_missing", "")
    assert not any(b"/home/me" in content for content in contents(tmp_path / "public").values())


@pytest.mark.parametrize("place", ["dataset", "dataset/below", "."])
def test_a_target_that_overlaps_the_dataset_is_refused(tmp_path: Path, place: str) -> None:
    build_dataset(tmp_path, IDS)

    with pytest.raises(PublishError, match="overlaps"):
        publish_to_directory(tmp_path / "dataset", tmp_path / place)


def test_a_directory_that_holds_something_else_is_never_replaced(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")

    with pytest.raises(PublishError, match="holds no dataset"):
        publish_to_directory(tmp_path / "dataset", tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").exists()


@pytest.mark.parametrize(
    ("license", "audio"),
    [
        ("cc0-1.0", True),
        ("CC0", True),
        ("CC BY 4.0", True),
        ("cc-by-sa-3.0", True),
        ("cc-by-nc-4.0", True),
        ("Apache-2.0", True),
        ("MIT", True),
        ("public domain", True),
        ("bsd-3-clause", True),
        ("cc-by-3.0-us", True),
        ("unknown", False),
        ("", False),
        ("proprietary", False),
        ("mit-research-only-no-audio", False),
        ("cc-by-nc-nd-4.0", False),
    ],
)
def test_only_licences_on_the_list_let_audio_leave(license: str, audio: bool) -> None:
    assert allows_audio(license) is audio


def test_the_strictest_licence_of_a_mixture_wins() -> None:
    ladder = ["cc0-1.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "unknown", "cc-by-nd-4.0"]

    assert [strictest(ladder[: i + 1]) for i in range(len(ladder))] == ladder
    assert strictest([]) == "unknown"


def test_words_that_merely_contain_nd_do_not_forbid_derivatives() -> None:
    assert not forbids_derivatives("standard-academic")
    assert forbids_derivatives("No Derivatives")


def test_a_card_carries_only_identifiers_that_the_hub_knows() -> None:
    assert [hub_name(name) for name in ("CC BY 4.0", "CC0", "unknown", "Mozilla terms")] == [
        "cc-by-4.0",
        "cc0-1.0",
        "unknown",
        "other",
    ]
