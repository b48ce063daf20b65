"""The manifest says what a dataset is: its shards, its digest, its balance, how it was made.

It is written last and holds no host, outside path or time: equal inputs give equal bytes. Evidence and
rejections are listed but stay outside the digest, for their floats differ between machines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from augment.atomic import file_sha256, write_bytes
from augment.records import from_row, to_row
from augment.schema import Counts, Shard
from augment.shards import verify_shard
from lalm.errors import SimulsaError

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
BESIDE_SHARDS = ("rejected.parquet", "evidence.parquet")


class DatasetError(SimulsaError):
    """A dataset directory that is empty, unfinished, or not one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How the rows were made; `instruction` is the user turn without its audio."""

    draft: str
    rule: str
    threshold: float | None
    alpha: float
    beta: float
    seed: int
    model: str
    model_revision: str
    prompt_hash: str
    config_hash: str
    instruction: str
    code_version: str
    method: str = "simulsa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Numbers over all rows for the card and the report; `accepted_ratio` is accepted over draft tokens."""

    kept_audio_s: float
    empty_targets: int
    near_ties: int
    accepted_ratio: float
    src_langs: tuple[str, ...]
    tgt_langs: tuple[str, ...]
    licenses: tuple[str, ...]
    corpora: tuple[str, ...]
    flags: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetManifest:
    """A complete dataset; `audio` is `referenced` in a copy that was published without its audio."""

    name: str
    dataset_digest: str
    license: str
    audio: Literal["embedded", "referenced"]
    shards: tuple[Shard, ...]
    files: dict[str, str]
    """sha256 of rejected.parquet, evidence.parquet and the card's pictures, outside the digest."""
    counts: Counts
    rejected: dict[str, int]
    """Rejections by `stage.reason`."""
    summary: Summary
    provenance: Provenance
    splits: tuple[str, ...] = ()
    """The corpus splits that the rows were made of; empty in manifests that are older than this field."""
    format_version: int = FORMAT_VERSION


def digest_of(shards: Iterable[Shard]) -> str:
    """sha256 over the sorted shard digests: equal exactly when the rows and their bucketing are equal."""
    return hashlib.sha256("\n".join(sorted(shard.sha256 for shard in shards)).encode()).hexdigest()


def save_manifest(dataset_dir: Path, manifest: DatasetManifest) -> None:
    """Write manifest.json, with which the dataset begins to exist."""
    text = json.dumps(to_row(manifest), indent=2, sort_keys=True, ensure_ascii=False)
    write_bytes(dataset_dir / MANIFEST_NAME, (text + "\n").encode())


def load_manifest(dataset_dir: Path) -> DatasetManifest:
    """Read manifest.json; raise DatasetError where there is none or it is of another format."""
    path = dataset_dir / MANIFEST_NAME
    if not path.is_file():
        raise DatasetError(
            f"{dataset_dir} has no {MANIFEST_NAME}, so no dataset was finished there: build it first"
        )
    try:
        content = json.loads(path.read_bytes())
        version = content.get("format_version")
        if version == FORMAT_VERSION:
            return _within(dataset_dir, from_row({"splits": []} | content, DatasetManifest))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} is not a dataset manifest ({error!r}): rebuild the dataset") from error
    raise DatasetError(
        f"{path} must have format_version {FORMAT_VERSION} but has {version}: rebuild the dataset"
    )


def _within(dataset_dir: Path, manifest: DatasetManifest) -> DatasetManifest:
    """The manifest, unless a file of it lies elsewhere: it may have come from a stranger."""
    for name in (*(shard.path for shard in manifest.shards), *manifest.files):
        path = Path(name)
        if path.is_absolute() or ".." in path.parts:
            raise DatasetError(
                f"{dataset_dir}/{MANIFEST_NAME} names the file {name!r}, which leads outside of the dataset: "
                "do not use a dataset from this place"
            )
    return manifest


def verify_dataset(dataset_dir: Path) -> DatasetManifest:
    """The manifest, after every file of the dataset proved to have the sha256 that it names.

    Raises ShardError for a shard and DatasetError for a file beside the shards. The card is not named there: people
    may write in it.
    """
    manifest = load_manifest(dataset_dir)
    for shard in manifest.shards:
        verify_shard(dataset_dir, shard)
    for name, wanted in manifest.files.items():
        found = file_sha256(dataset_dir / name) if (dataset_dir / name).is_file() else None
        if found != wanted:
            state = "is missing" if found is None else f"has sha256 {found}"
            raise DatasetError(f"{name} must have sha256 {wanted} but {state}: rebuild the dataset")
    return manifest
