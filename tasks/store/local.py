"""A stage store in a directory, shared by every run on this machine, or on a file system that several mount.

A stage writes below `objects/<key>/<attempt>/`; when everything is flushed, `objects/<key>/manifest.json` is created
only if absent (hard link), so the first writer wins and a killed one leaves nothing that counts. A writer holds a lock
on its attempt while it lives: housekeeping knows the dead by it.

This module does not know Prefect, nor what a stage does.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks.store.disk import flush_output, space_for, sync_directory, write_durably
from tasks.store.locks import hold, open_new
from tasks.store.manifest import (
    Manifest,
    StoreError,
    Verify,
    canonical_json,
    dump_manifest,
    parse_manifest,
    sha256_file,
    stage_key,
)
from tasks.store.objects import Bucket


class Store:
    """A directory of stage outputs, shared by every run that names it; a read-only one refuses to make any.

    `used` are the keys of all outputs that were made or read here, in order: what a run stands on.
    """

    bucket: Bucket | None = None
    """Where it is shared from, when that is not the directory itself."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.root = root
        self.read_only = read_only
        self.objects = root / "objects"
        self.used: dict[str, None] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (type(self), self.root.absolute(), self.read_only)

    def lookup(self, key: str, *, verify: Verify = "size") -> Manifest | None:
        """The output with this key, or None when there is none or what is there fails verification."""
        path = self.objects / key / "manifest.json"
        text = _read_if_there(path)
        if text is None:
            return None
        manifest = _parse(text, key, path.parent)
        if manifest is not None and _intact(manifest, verify):
            return manifest
        if not self.read_only:
            _set_aside(path, text)
        return None

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

        `write` fills the directory it is given; whatever it raises leaves nothing that counts, and a full disk is a
        DiskFullError. `info` must be JSON.
        """
        key = stage_key(stage, version, inputs)
        self.used[key] = None
        hit = self.lookup(key, verify=verify)
        if hit is not None:
            self._touch(key)
            return hit.as_cached()
        if self.read_only:
            raise StoreError(f"stage {stage!r} has no finished output for this configuration: run it first")
        attempt = uuid.uuid4().hex[:12]
        directory = self.objects / key / attempt
        with self._writing(stage, directory):
            info = dict(write(directory))
            made = Manifest(
                key=key, stage=stage, version=version, attempt=attempt, files=flush_output(directory),
                info=info, inputs=dict(inputs), directory=directory,
            )  # fmt: skip
            return self._commit(made, directory, verify)

    @contextmanager
    def _writing(self, stage: str, directory: Path) -> Iterator[None]:
        """The directory of an attempt, locked while its writer lives, removed when it fails."""
        lock_path = directory.with_suffix(".lock")
        with open_new(lock_path) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                directory.mkdir()
                with space_for(stage, directory):
                    yield
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise
            finally:
                lock_path.unlink(missing_ok=True)

    def _commit(self, manifest: Manifest, directory: Path, verify: Verify) -> Manifest:
        """Create the manifest if absent; when another writer was first, discard ours and take theirs."""
        target = self.objects / manifest.key / "manifest.json"
        draft = directory.with_suffix(".manifest")
        try:
            write_durably(draft, dump_manifest(manifest))
            os.link(draft, target)
        except FileExistsError:
            return self._winner(manifest.key, directory, verify)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(target.parent)
        return manifest

    def _winner(self, key: str, ours: Path, verify: Verify) -> Manifest:
        shutil.rmtree(ours, ignore_errors=True)
        winner = self.lookup(key, verify=verify)
        if winner is None:
            raise StoreError(f"output {key} was damaged while it was written; run again to rebuild it")
        return winner.as_cached()

    def _touch(self, key: str) -> None:
        """A hit is a use: housekeeping by age counts from the last one. Where it cannot be noted, it is not."""
        with suppress(OSError):
            os.utime(self.objects / key / "manifest.json")

    def run_records(self) -> dict[str, list[str]]:
        """The keys of what each remembered run stands on, by its name."""
        names = sorted(path.name for path in (self.root / "runs").glob("*.json"))
        return {Path(name).stem: self._get_record(f"runs/{name}")["keys"] for name in names}

    def forget_run(self, name: str) -> None:
        """Remove the record of a run; what it stood on is no longer kept for its sake."""
        (self.root / "runs" / f"{name}.json").unlink(missing_ok=True)

    def remember_run(self, name: str, configuration: str) -> None:
        """Record what the run `name` stands on, so that housekeeping keeps it; a read-only store records nothing.

        Commands of one configuration add to one another; another configuration begins anew.
        """
        if self.read_only or not self.used:
            return
        place = self._record_place(name, configuration)
        lock_path = self.root / "runs" / ".lock"
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        with lock_path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two flows of one configuration may end together
            earlier = self._get_record(place)
            keys = dict.fromkeys(earlier["keys"]) if earlier.get("configuration") == configuration else {}
            record = {"configuration": configuration, "keys": list(keys | self.used)}
            self._put_record(place, canonical_json(record))

    def _record_place(self, name: str, configuration: str) -> str:  # noqa: ARG002 - a bucket needs it
        return f"runs/{name}.json"

    def _get_record(self, name: str) -> dict[str, Any]:
        return parse_record(_read_if_there(self.root / name))

    def _put_record(self, name: str, text: str) -> None:
        path = self.root / name
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        write_durably(draft, text)
        draft.replace(path)

    @contextmanager
    def scratch(
        self,
        stage: str,
        version: int,
        inputs: Mapping[str, Any],
        waiting: Callable[[], None] = lambda: None,
    ) -> Iterator[Path]:
        """A directory that survives a kill, for a stage that resumes inside itself (fine-tuning's checkpoints).

        Held by one process at a time; a second one waits and calls `waiting`, which may raise. Removed when the stage
        has its manifest by the end. It is always on this machine, also where the store is not (docs/decisions/007).
        """
        key = stage_key(stage, version, inputs)
        directory = self.root / "scratch" / key
        directory.parent.mkdir(parents=True, exist_ok=True)
        with directory.with_suffix(".lock").open("w") as lock:
            hold(lock, waiting)
            directory.mkdir(exist_ok=True)
            yield directory
            if self._is_finished(key):
                shutil.rmtree(directory, ignore_errors=True)

    def _is_finished(self, key: str) -> bool:
        return (self.objects / key / "manifest.json").exists()


def reopen(kind: type[Store], *arguments: Any) -> Store:
    """A store of this kind in another process; its last argument says whether it is read-only."""
    *places, read_only = arguments
    return kind(*places, read_only=read_only)


def parse_record(text: bytes | None) -> dict[str, Any]:
    """The record of a run; an empty one where there is none."""
    return {"keys": []} if text is None else json.loads(text)


def _read_if_there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parse(text: bytes, key: str, directory: Path) -> Manifest | None:
    try:
        return parse_manifest(text, key, lambda attempt: directory / attempt)
    except (ValueError, KeyError, TypeError):
        return None


def _intact(manifest: Manifest, verify: Verify) -> bool:
    directory = manifest.directory
    for name, file in manifest.files.items():
        path = directory / name
        if not path.is_file() or path.stat().st_size != file.num_bytes:
            return False
        if verify == "sha256" and sha256_file(path) != file.sha256:
            return False
    return True


def _set_aside(manifest_path: Path, text: bytes) -> None:
    """Rename a damaged manifest, so that the output counts as absent and the evidence stays.

    Only while it still says this: somebody may have rebuilt the output meanwhile.
    """
    with suppress(FileNotFoundError):
        if manifest_path.read_bytes() == text:
            manifest_path.replace(manifest_path.with_name(f"manifest.damaged-{uuid.uuid4().hex[:8]}.json"))
