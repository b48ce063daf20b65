"""The stage store: a stage's output exists when its manifest exists, and is then read back, never recomputed.

`Store.ensure` gives each output the key sha256(stage, version, inputs) and calls the stage only when there is none. It
lies in a directory (`local`) or in a bucket (`remote`); what counts, and when, is the same.
"""

from __future__ import annotations

from pathlib import Path

from tasks.store.disk import DiskFullError
from tasks.store.local import Store
from tasks.store.manifest import (
    Manifest,
    StoredFile,
    StoreError,
    Verify,
    canonical_json,
    fingerprint,
    sha256_file,
    stage_key,
)
from tasks.store.objects import Bucket, is_url
from tasks.store.remote import RemoteStore

__all__ = [
    "DiskFullError",
    "Manifest",
    "RemoteStore",
    "Store",
    "StoreError",
    "StoredFile",
    "Verify",
    "canonical_json",
    "check_location",
    "fingerprint",
    "is_url",
    "open_store",
    "sha256_file",
    "stage_key",
]


def check_location(location: str | Path) -> None:
    """Raise StoreError for an address that no store can have; nothing is asked of it."""
    if is_url(location):
        Bucket(str(location))


def open_store(location: str | Path, copies: Path, *, read_only: bool = False) -> Store:
    """The store in a directory, or at s3://bucket/prefix with its local copies in `copies`."""
    if is_url(location):
        return RemoteStore(str(location), copies, read_only=read_only)
    return Store(Path(location), read_only=read_only)
