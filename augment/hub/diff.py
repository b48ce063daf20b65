"""What a publication would change: local files against the files of a remote revision, by digest alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.hf_api import RepoFile

from augment.atomic import file_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file to publish: where it lies, its sha256 and its size."""

    path: Path
    sha256: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Names of files by what a commit would do to them; `num_bytes` of those added or changed."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    num_bytes: int

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def local_file(path: Path) -> LocalFile:
    """Measure a file."""
    return LocalFile(path=path, sha256=file_sha256(path), num_bytes=path.stat().st_size)


def compare(local: Mapping[str, LocalFile], remote: Mapping[str, RepoFile], owned: Iterable[str]) -> Diff:
    """The difference; a remote file below one of the `owned` prefixes that is not local is to be removed."""
    prefixes = tuple(owned)
    added = tuple(name for name in sorted(local) if name not in remote)
    changed = tuple(n for n in sorted(local) if n in remote and not _equal(local[n], remote[n]))
    return Diff(
        added=added,
        changed=changed,
        removed=tuple(name for name in sorted(remote) if name not in local and name.startswith(prefixes)),
        num_bytes=sum(local[name].num_bytes for name in (*added, *changed)),
    )


def _equal(local: LocalFile, remote: RepoFile) -> bool:
    if local.num_bytes != remote.size:
        return False
    if remote.lfs is not None:
        return local.sha256 == remote.lfs.sha256
    return _git_blob_id(local.path) == remote.blob_id


def _git_blob_id(path: Path) -> str:
    """Git's name for the content of a small file that is no LFS object."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
