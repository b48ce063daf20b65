"""What a stage made, and the digests that name it.

This module does not know where outputs lie: a manifest is given a directory, or a place that fetches one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, Self, overload

from lalm.errors import SimulsaError

Verify = Literal["size", "sha256"]


class StoreError(SimulsaError):
    """A store that cannot be read or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file of a stage's output: digest and size."""

    sha256: str
    num_bytes: int


class Elsewhere(Protocol):
    """An output that is not on this machine until its files are asked for."""

    def fetch(self, files: Mapping[str, StoredFile]) -> Path:
        """The local directory of the output, holding at least these files, each verified by its sha256."""
        ...


class _Directory:
    """`Manifest.directory`: the whole output as a local directory; what is elsewhere is fetched when this is read."""

    @overload
    def __get__(self, manifest: None, owner: type[Manifest]) -> Self: ...

    @overload
    def __get__(self, manifest: Manifest, owner: type[Manifest]) -> Path: ...

    def __get__(self, manifest: Manifest | None, owner: type[Manifest]) -> Self | Path:
        return self if manifest is None else manifest.fetched(manifest.files)

    def __set__(self, manifest: Manifest, place: Path | Elsewhere) -> None:
        manifest.__dict__["_place"] = place


@dataclass(frozen=True, kw_only=True)
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
    directory: _Directory = field(default=_Directory(), repr=False, compare=False)
    cached: bool = field(default=False, compare=False)

    @property
    def digest(self) -> str:
        return fingerprint({name: file.sha256 for name, file in self.files.items()})

    def path(self, name: str) -> Path:
        """The file `name` of this output; raises StoreError when the stage wrote no such file."""
        if name not in self.files:
            raise StoreError(f"stage {self.stage!r} wrote no file {name!r}; it wrote {sorted(self.files)}")
        return self.fetched({name: self.files[name]}) / name

    def fetched(self, files: Mapping[str, StoredFile]) -> Path:
        """The directory of this output, in which at least `files` are on this machine."""
        place: Path | Elsewhere = self.__dict__["_place"]
        return place if isinstance(place, Path) else place.fetch(files)

    def as_cached(self) -> Manifest:
        """The same output as one that was read back."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "directory"}
        return Manifest(**{**values, "cached": True}, directory=self.__dict__["_place"])


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


def dump_manifest(manifest: Manifest) -> str:
    """The text of a manifest: no path, no host, no time."""
    files = {name: asdict(file) for name, file in manifest.files.items()}
    return canonical_json({
        "key": manifest.key, "stage": manifest.stage, "version": manifest.version, "attempt": manifest.attempt,
        "files": files, "info": manifest.info, "inputs": manifest.inputs,
    })  # fmt: skip


def parse_manifest(text: str | bytes, key: str, place_of: Callable[[str], Path | Elsewhere]) -> Manifest:
    """What `dump_manifest` wrote for this key; `place_of` knows where an attempt lies.

    Raises ValueError, KeyError or TypeError on anything else, also on the manifest of another key.
    """
    raw = json.loads(text)
    if raw["key"] != key:
        raise ValueError(f"the manifest of {raw['key']!r} lies where that of {key!r} belongs")
    files = {_inside(name): StoredFile(**file) for name, file in raw.pop("files").items()}
    return Manifest(**raw, files=files, directory=place_of(_inside(raw["attempt"])))


def _inside(name: str) -> str:
    """A shared store is written by others: what it names stays below the output's directory."""
    if not name or name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise ValueError(f"{name!r} leaves its output")
    return name
