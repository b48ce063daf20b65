"""Publish copies a finished dataset to its readers in one step: they see the old one or the new one, whole.

Licences decide here and nowhere else: audio leaves only under a licence that allows it, and a no-derivatives
licence lets nothing leave.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from augment.atomic import flush_tree, room_in
from augment.card import write_card
from augment.directories import holds_same, put_in_place, staging_beside
from augment.examples import SimulExample
from augment.licences import allows_audio, forbids_derivatives
from augment.manifest import MANIFEST_NAME, DatasetManifest, digest_of, save_manifest, verify_dataset
from augment.records import from_row, read_records, write_records
from augment.schema import Rejection, Shard
from augment.shards import read_shard, write_shard
from lalm.errors import SimulsaError

_HELD_OUT = re.compile(r"(?<![a-z])(?:test|tst|dev|val|valid|validation|eval)(?![a-z])", re.IGNORECASE)
"""Names of splits that nobody should train on: test, tst-COMMON, dev2010, validation, ..."""


class PublishError(SimulsaError):
    """A dataset that must not or cannot be published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishResult:
    """What a publication did: `unchanged` when the target already held exactly this."""

    status: Literal["published", "unchanged", "dry_run"]
    target: Path
    dataset_digest: str
    files: tuple[str, ...]
    num_bytes: int
    audio_published: bool
    audio_reason: str


def publish_to_directory(
    dataset_dir: Path, target: Path, *, audio: bool | None = None, dry_run: bool = False
) -> PublishResult:
    """Verify the dataset, stage it beside `target`, and put it in place by one rename.

    `audio` says whether the kept audio goes along; None lets the licence decide.
    """
    manifest = verify_dataset(dataset_dir)
    audio, reason = audio_decision(manifest, audio)
    refuse_overlap(dataset_dir, target)
    with room_in(target.parent), staging_beside(target, dry_run=dry_run) as staging:
        published = stage_copy(dataset_dir, staging, manifest, audio=audio)
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        result = PublishResult(
            status="dry_run" if dry_run else "published",
            target=target,
            dataset_digest=published.dataset_digest,
            files=tuple(path.relative_to(staging).as_posix() for path in files),
            num_bytes=sum(path.stat().st_size for path in files),
            audio_published=audio,
            audio_reason=reason,
        )
        if dry_run:
            return result
        if holds_same(target, staging):
            return dataclasses.replace(result, status="unchanged")
        flush_tree(staging)
        put_in_place(staging, target)
    return result


def audio_decision(manifest: DatasetManifest, wanted: bool | None) -> tuple[bool, str]:
    """Whether the audio may leave, and why; raise PublishError when nothing may."""
    held_out = [split for split in manifest.splits if _HELD_OUT.search(split)]
    if held_out:
        raise PublishError(
            f"the dataset {manifest.name!r} was made of the split {' and '.join(held_out)}, which others measure on: "
            "keep it local, or build it from a train split (corpus.train_split)"
        )
    if forbids_derivatives(manifest.license):
        raise PublishError(
            f"the dataset {manifest.name!r} derives from a corpus under {manifest.license!r}, which forbids "
            "sharing derivatives: keep it local, or build it from a corpus whose licence allows them"
        )
    if manifest.audio == "referenced":
        return False, "the dataset holds no audio"
    if wanted is not None:
        return wanted, f"publish.audio is {str(wanted).lower()}"
    allowed = allows_audio(manifest.license)
    knowledge = "known" if allowed else "not known"
    return allowed, f"the licence {manifest.license!r} is {knowledge} to allow sharing audio"


def stage_copy(
    dataset_dir: Path, staging: Path, manifest: DatasetManifest, *, audio: bool, link: bool = False
) -> DatasetManifest:
    """Write the publishable copy into an empty directory, its manifest last.

    With `link`, shards that leave as they are become symbolic links: enough for a copy that is only read.
    """
    shutil.copyfile(dataset_dir / "evidence.parquet", staging / "evidence.parquet")
    _write_public_rejections(dataset_dir / "rejected.parquet", staging / "rejected.parquet")
    strip = not audio and manifest.audio == "embedded"
    write = _without_audio if strip else _linked if link else _copied
    shards = tuple(write(dataset_dir, staging, shard) for shard in manifest.shards)
    published = dataclasses.replace(
        manifest,
        shards=shards,
        audio="referenced" if strip else manifest.audio,
        dataset_digest=digest_of(shards),
    )
    published = write_card(staging, published)
    save_manifest(staging, published)
    return published


def _write_public_rejections(source: Path, path: Path) -> None:
    """Details are for the one who ran the build and may name places on that machine: only codes leave it."""
    rejections = read_records(source, Rejection)
    write_records(path, (dataclasses.replace(item, detail="") for item in rejections), Rejection)


def _copied(dataset_dir: Path, staging: Path, shard: Shard) -> Shard:
    (staging / shard.path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(dataset_dir / shard.path, staging / shard.path)
    return shard


def _linked(dataset_dir: Path, staging: Path, shard: Shard) -> Shard:
    (staging / shard.path).parent.mkdir(parents=True, exist_ok=True)
    (staging / shard.path).symlink_to((dataset_dir / shard.path).resolve())
    return shard


def _without_audio(dataset_dir: Path, staging: Path, shard: Shard) -> Shard:
    rows = (from_row({**row, "audio": None}, SimulExample) for row in read_shard(dataset_dir / shard.path))
    return write_shard(staging, shard.path, rows)


def refuse_overlap(dataset_dir: Path, target: Path) -> None:
    """Raise PublishError for a target inside or around the dataset, or one that holds something else."""
    source, place = dataset_dir.resolve(), target.resolve()
    if place == source or place in source.parents or source in place.parents:
        raise PublishError(f"{target} overlaps the dataset in {dataset_dir}: choose a directory outside it")
    empty = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    if not empty and not (place / MANIFEST_NAME).is_file():
        raise PublishError(f"{target} exists and holds no dataset: choose a new or empty directory")
