"""The stage store: a stage's output exists when its manifest exists, and is then read back, never recomputed.

`Store.ensure` gives each output the key sha256(stage, version, inputs). A stage writes below
`objects/<key>/<attempt>/`; when everything is flushed, `objects/<key>/manifest.json` is created only if absent (hard
link), so the first writer wins and a killed one leaves nothing that counts. A hit is verified and rebuilt when damaged.

This module does not know Prefect, nor what a stage does.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lalm.errors import SimulsaError

Verify = Literal["size", "sha256"]


class StoreError(SimulsaError):
    """A store that cannot be read or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file of a stage's output: digest and size."""

    sha256: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a stage made: its key, the attempt that won, its files, and facts it chose to report (`info`).

    `digest` names the content: equal files and info give an equal digest, whatever the key, host or time.
    """

    key: str
    stage: str
    version: int
    attempt: str
    files: dict[str, StoredFile]
    info: dict[str, Any]
    inputs: dict[str, Any]
    directory: Path
    cached: bool = field(default=False, compare=False)

    @property
    def digest(self) -> str:
        return fingerprint({name: file.sha256 for name, file in self.files.items()})

    def path(self, name: str) -> Path:
        """The file `name` of this output; raises StoreError when the stage wrote no such file."""
        if name not in self.files:
            raise StoreError(f"stage {self.stage!r} wrote no file {name!r}; it wrote {sorted(self.files)}")
        return self.directory / name


def canonical_json(value: object) -> str:
    """One spelling per value: sorted keys, no spaces, no NaN. The text that every key is a digest of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: object) -> str:
    """The sha256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stage_key(stage: str, version: int, inputs: Mapping[str, Any]) -> str:
    """The identity of an output: what it is made of, never where, when or how fast."""
    return fingerprint({"stage": stage, "version": version, "inputs": inputs})


class Store:
    """A directory of stage outputs, shared by every run that names it; a read-only one refuses to make any."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.root = root
        self.read_only = read_only
        self.objects = root / "objects"

    def lookup(self, key: str, *, verify: Verify = "size") -> Manifest | None:
        """The output with this key, or None when there is none or what is there fails verification."""
        path = self.objects / key / "manifest.json"
        try:
            manifest = _parse(path)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            manifest = None
        if manifest is None or not _intact(manifest, verify):
            _set_aside(path)
            return None
        return manifest

    def ensure(
        self,
        stage: str,
        version: int,
        inputs: Mapping[str, Any],
        write: Callable[[Path], Mapping[str, Any]],
        *,
        verify: Verify = "size",
    ) -> Manifest:
        """Return the output of `stage` for `inputs`, calling `write(directory) -> info` only when it is absent.

        `write` fills the directory it is given; whatever it raises leaves nothing that counts. `info` must be JSON.
        """
        key = stage_key(stage, version, inputs)
        hit = self.lookup(key, verify=verify)
        if hit is not None:
            return _as_cached(hit)
        if self.read_only:
            raise StoreError(f"stage {stage!r} has no finished output for this configuration: run it first")
        attempt = uuid.uuid4().hex[:12]
        directory = self.objects / key / attempt
        directory.mkdir(parents=True)
        try:
            info = dict(write(directory))
            manifest = Manifest(
                key=key, stage=stage, version=version, attempt=attempt, files=_flush(directory),
                info=info, inputs=dict(inputs), directory=directory,
            )  # fmt: skip
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return self._commit(manifest, verify)

    def _commit(self, manifest: Manifest, verify: Verify) -> Manifest:
        """Create the manifest if absent; when another writer was first, discard ours and take theirs."""
        target = self.objects / manifest.key / "manifest.json"
        draft = manifest.directory.with_suffix(".manifest")
        _write_durably(draft, canonical_json(_as_json(manifest)))
        try:
            os.link(draft, target)
        except FileExistsError:
            shutil.rmtree(manifest.directory, ignore_errors=True)
            winner = self.lookup(manifest.key, verify=verify)
            if winner is None:
                raise StoreError(
                    f"output {manifest.key} was damaged while it was written; run again to rebuild it"
                ) from None
            return _as_cached(winner)
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(target.parent)
        return manifest

    @contextmanager
    def scratch(self, stage: str, version: int, inputs: Mapping[str, Any]) -> Iterator[Path]:
        """A directory that survives a kill, for a stage that resumes inside itself (fine-tuning's checkpoints).

        Held by one process at a time; a second one waits. Removed when the stage has its manifest by the end.
        """
        key = stage_key(stage, version, inputs)
        directory = self.root / "scratch" / key
        directory.parent.mkdir(parents=True, exist_ok=True)
        with directory.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            directory.mkdir(exist_ok=True)
            yield directory
            if (self.objects / key / "manifest.json").exists():
                shutil.rmtree(directory, ignore_errors=True)


def _as_cached(manifest: Manifest) -> Manifest:
    values = {name: getattr(manifest, name) for name in Manifest.__slots__}
    return Manifest(**{**values, "cached": True})


def _as_json(manifest: Manifest) -> dict[str, Any]:
    files = {name: asdict(file) for name, file in manifest.files.items()}
    return {
        "key": manifest.key, "stage": manifest.stage, "version": manifest.version, "attempt": manifest.attempt,
        "files": files, "info": manifest.info, "inputs": manifest.inputs,
    }  # fmt: skip


def _parse(path: Path) -> Manifest:
    raw = json.loads(path.read_text())
    files = {name: StoredFile(**file) for name, file in raw.pop("files").items()}
    return Manifest(**raw, files=files, directory=path.parent / raw["attempt"])


def _intact(manifest: Manifest, verify: Verify) -> bool:
    for name, file in manifest.files.items():
        path = manifest.directory / name
        if not path.is_file() or path.stat().st_size != file.num_bytes:
            return False
        if verify == "sha256" and sha256_file(path) != file.sha256:
            return False
    return True


def _set_aside(manifest_path: Path) -> None:
    """Rename a damaged manifest, so that the output counts as absent and the evidence stays."""
    manifest_path.replace(manifest_path.with_name(f"manifest.damaged-{uuid.uuid4().hex[:8]}.json"))


def _flush(directory: Path) -> dict[str, StoredFile]:
    """Flush every file below `directory` to disk and describe it, by POSIX path below the directory."""
    files: dict[str, StoredFile] = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(directory).as_posix()
        files[name] = StoredFile(sha256=digest, num_bytes=path.stat().st_size)
    for path in [directory, *(p for p in directory.rglob("*") if p.is_dir())]:
        _sync_directory(path)
    return files


def _write_durably(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
