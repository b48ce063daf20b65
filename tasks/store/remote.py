"""A stage store in a bucket: every machine that names it shares its outputs; a local directory holds copies.

An output is written in the local directory, uploaded below `objects/<key>/<attempt>/`, and exists from the moment its
`objects/<key>/manifest.json` is created, which S3 does only if it is absent. A hit costs one read and one listing; its
files come when they are asked for, each verified by its sha256. Copies have no say and may be deleted at any time.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.store.disk import space_for
from tasks.store.local import Store, parse_record, reopen
from tasks.store.manifest import (
    Manifest,
    StoredFile,
    StoreError,
    Verify,
    dump_manifest,
    parse_manifest,
    sha256_file,
)
from tasks.store.objects import Bucket, StoredObject

USED_AGAIN = timedelta(days=1)
"""How old a note of an output's last use may be before a hit renews it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOutput:
    """An output in a bucket, and the local directory where its files go when they are asked for."""

    bucket: Bucket
    key: str
    attempt: str
    copies: Path

    def fetch(self, files: Mapping[str, StoredFile]) -> Path:
        """The local directory, holding these files; StoreError when one is not what its manifest says."""
        directory = self.copies / self.key / self.attempt
        for name, file in files.items():
            path = directory / name
            if not path.is_file() or path.stat().st_size != file.num_bytes:
                self._fetch(name, file, path)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _fetch(self, name: str, file: StoredFile, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with space_for("fetch", path.parent):
                self.bucket.download(f"objects/{self.key}/{self.attempt}/{name}", draft)
            if sha256_file(draft) != file.sha256:
                set_aside(self.bucket, self.key, self.attempt)
                raise StoreError(
                    f"{name} of output {self.key} in {self.bucket.url} is damaged: its manifest is set aside, "
                    "run again to rebuild it"
                )
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


class RemoteStore(Store):
    """The store at an address; `root` is the local directory of copies, records, logs and checkpoints."""

    bucket: Bucket

    def __init__(self, url: str, copies: Path, *, read_only: bool = False) -> None:
        super().__init__(copies, read_only=read_only)
        self.bucket = Bucket(url)

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (type(self), self.bucket.url, self.root, self.read_only)

    def lookup(self, key: str, *, verify: Verify = "size") -> Manifest | None:
        """The output with this key, or None when there is none or what is there fails verification."""
        text = self.bucket.read(_manifest_name(key))
        if text is None:
            return None
        try:
            manifest = self._parse(text, key)
        except (ValueError, KeyError, TypeError):
            self._reject(key, None)
            return None
        present = self.bucket.list(f"objects/{key}")
        if not self._intact(manifest, present, verify):
            self._reject(key, manifest.attempt)
            return None
        self._note_use(key, present)
        return manifest

    def _parse(self, text: str | bytes, key: str) -> Manifest:
        return parse_manifest(text, key, lambda attempt: self._place(key, attempt))

    def _reject(self, key: str, attempt: str | None) -> None:
        if not self.read_only:
            set_aside(self.bucket, key, attempt)

    def _place(self, key: str, attempt: str) -> RemoteOutput:
        return RemoteOutput(bucket=self.bucket, key=key, attempt=attempt, copies=self.objects)

    def _intact(self, manifest: Manifest, present: Mapping[str, StoredObject], verify: Verify) -> bool:
        for name, file in manifest.files.items():
            found = present.get(f"{manifest.attempt}/{name}")
            if found is None or found.num_bytes != file.num_bytes:
                return False
        if verify == "sha256":
            shutil.rmtree(self.objects / manifest.key / manifest.attempt, ignore_errors=True)
            try:
                manifest.fetched(manifest.files)
            except StoreError:
                return False
        return True

    def _commit(self, manifest: Manifest, directory: Path, verify: Verify) -> Manifest:
        """Upload the files, then create the manifest if absent; when another writer was first, take theirs."""
        key, attempt = manifest.key, manifest.attempt
        self.bucket.upload(directory, manifest.files, f"objects/{key}/{attempt}")
        text = dump_manifest(manifest)
        made = self._parse(text, key)  # where the directory is not, its files come from the bucket
        if self.bucket.create(_manifest_name(key), text.encode()):
            return made
        winner = self.lookup(key, verify=verify)
        if winner is not None and winner.attempt == attempt:
            return made  # our own write, whose first answer was lost
        self.bucket.delete(f"objects/{key}/{attempt}/{name}" for name in manifest.files)
        shutil.rmtree(directory, ignore_errors=True)
        if winner is None:
            raise StoreError(f"output {key} was damaged while it was written; run again to rebuild it")
        return winner.as_cached()

    def run_records(self) -> dict[str, list[str]]:
        """The keys of what each remembered run stands on, by its name, whichever machine it ran on."""
        records: dict[str, list[str]] = {}
        for file in sorted(self.bucket.list("runs")):
            records.setdefault(_run_of(file), []).extend(self._get_record(f"runs/{file}")["keys"])
        return records

    def forget_run(self, name: str) -> None:
        """Remove the records of a run; what it stood on is no longer kept for its sake."""
        self.bucket.delete([f"runs/{file}" for file in self.bucket.list("runs") if _run_of(file) == name])

    def _touch(self, key: str) -> None:
        """The lookup has noted the use already, from the listing that it needs anyway."""

    def _note_use(self, key: str, present: Mapping[str, StoredObject]) -> None:
        noted = max(o.modified for name, o in present.items() if name in ("manifest.json", "used"))
        if not self.read_only and datetime.now(UTC) - noted > USED_AGAIN:
            self.bucket.write(f"objects/{key}/used", b"")

    def _record_place(self, name: str, configuration: str) -> str:
        """Of each configuration one record: machines that share the store may not share the configuration."""
        return f"runs/{name}@{configuration[:12]}.json"

    def _get_record(self, name: str) -> dict[str, Any]:
        return parse_record(self.bucket.read(name))

    def _put_record(self, name: str, text: str) -> None:
        self.bucket.write(name, text.encode())

    def _is_finished(self, key: str) -> bool:
        return self.bucket.read(_manifest_name(key)) is not None


def set_aside(bucket: Bucket, key: str, attempt: str | None) -> None:
    """Rename a damaged manifest, so that the output counts as absent and the evidence stays.

    Only while it is still the manifest of this attempt: somebody may have rebuilt the output meanwhile.
    """
    text = bucket.read(_manifest_name(key))
    if text is None or (attempt is not None and attempt.encode() not in text):
        return
    bucket.write(f"objects/{key}/manifest.damaged-{uuid.uuid4().hex[:8]}.json", text)
    bucket.delete([_manifest_name(key)])


def _run_of(file: str) -> str:
    return file.removesuffix(".json").partition("@")[0]


def _manifest_name(key: str) -> str:
    return f"objects/{key}/manifest.json"
