"""Housekeeping: what of a store can go, and its removal. What a run stands on, and what that was made of, stays.

Nothing younger than a day is touched, nor what a living writer has locked; so a run may go on meanwhile. An output is
removed manifest first: whatever interrupts that leaves files that do not count and go the next time.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from tasks.store.local import Store
from tasks.store.manifest import Manifest, parse_manifest
from tasks.store.objects import StoredObject

YOUNGEST = timedelta(days=1)
ATTEMPT = re.compile(r"(?P<attempt>[0-9a-f]{12})(/.*|\.lock|\.manifest)")
Kind = Literal["output", "damaged", "unfinished", "checkpoints", "copy"]


class Shelf(Protocol):
    """Where objects lie: a bucket, or a directory."""

    def list(self, prefix: str) -> dict[str, StoredObject]: ...

    def read(self, name: str) -> bytes | None: ...

    def delete(self, names: Iterable[str]) -> None: ...


class Directory:
    """A directory as a shelf."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, prefix: str) -> dict[str, StoredObject]:
        return dict(self._entries(self.root / prefix))

    def _entries(self, base: Path) -> Iterator[tuple[str, StoredObject]]:
        for path in base.rglob("*"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # somebody else removed it meanwhile
            if path.is_file():
                modified = datetime.fromtimestamp(stat.st_mtime, UTC)
                yield (
                    path.relative_to(base).as_posix(),
                    StoredObject(num_bytes=stat.st_size, modified=modified),
                )

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, names: Iterable[str]) -> None:
        for path in [self.root / name for name in names]:
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent.name == "objects" or any(parent.iterdir()):
                    break
                parent.rmdir()

    def is_locked(self, name: str) -> bool:
        """Whether a living process holds this lock."""
        try:
            with (self.root / name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """Something that can go: its names below the store, the manifest first."""

    kind: Kind
    stage: str
    key: str
    num_bytes: int
    last_used: datetime
    names: tuple[str, ...]
    shelf: Shelf


def find_removable(store: Store, roots: Collection[str], older_than: timedelta) -> list[Removable]:
    """What no run in `roots` (keys) stands on and nobody used for `older_than`, and what dead writers left."""
    before = datetime.now(UTC) - max(older_than, YOUNGEST)
    here = Directory(store.root)
    shelf: Shelf = here if store.bucket is None else store.bucket
    found = list(_outputs(shelf, roots, before))
    if store.bucket is not None:
        found += _copies(here, before)
    return [*found, *_checkpoints(here, before)]


def remove(things: Iterable[Removable]) -> list[Removable]:
    """Remove them, but not what was used since it was found; returns what was removed."""
    gone = []
    for thing in things:
        now = thing.shelf.list(f"objects/{thing.key}") if thing.kind == "output" else {}
        if any(facts.modified > thing.last_used for name, facts in now.items() if name in USES):
            continue
        if thing.kind == "checkpoints" and not _remove_checkpoints(thing):
            continue
        for names in (thing.names[:1], thing.names[1:]):
            thing.shelf.delete(names)
        gone.append(thing)
    return gone


USES = ("manifest.json", "used")
Group = dict[str, StoredObject]


def _outputs(shelf: Shelf, roots: Collection[str], before: datetime) -> Iterator[Removable]:
    groups: dict[str, Group] = defaultdict(dict)
    for name, facts in shelf.list("objects").items():
        key, _, rest = name.partition("/")
        groups[key][rest] = facts
    manifests = {key: manifest for key in groups if (manifest := _manifest(shelf, key)) is not None}
    used = {key: max(f.modified for n, f in groups[key].items() if n in USES) for key in manifests}
    kept = _closure(manifests, {key for key in manifests if key in roots or used[key] >= before})
    for key, group in groups.items():
        manifest = manifests.get(key)
        if manifest is not None and key not in kept:
            yield _removable(shelf, "output", manifest.stage, key, group, used[key], _order(group, manifest))
            continue
        yield from _leftovers(shelf, key, group, manifest, before)


def _manifest(shelf: Shelf, key: str) -> Manifest | None:
    text = shelf.read(f"objects/{key}/manifest.json")
    if text is None:
        return None
    try:
        return parse_manifest(text, Path)
    except (ValueError, KeyError, TypeError):
        return None


def _closure(manifests: Mapping[str, Manifest], roots: set[str]) -> set[str]:
    """The roots, and all outputs that they were made of: an input names an output by its key or one of its digests."""
    named: dict[str, set[str]] = defaultdict(set)
    for key, manifest in manifests.items():
        digests = [manifest.info.get(name) for name in ("digest", "adapter_digest")]
        for name in (key, manifest.digest, *(file.sha256 for file in manifest.files.values()), *digests):
            if isinstance(name, str):
                named[name].add(key)
    kept, open_keys = set(roots), list(roots)
    while open_keys:
        for word in _words(manifests[open_keys.pop()].inputs):
            fresh = named.get(word, set()) - kept
            kept |= fresh
            open_keys += fresh
    return kept


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _words(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _words(inner)


def _order(group: Group, manifest: Manifest) -> list[str]:
    """The manifest, then what it names and what notes its use."""
    mine = [name for name in group if name == "used" or name.startswith(f"{manifest.attempt}/")]
    return ["manifest.json", *mine]


def _leftovers(
    shelf: Shelf, key: str, group: Group, manifest: Manifest | None, before: datetime
) -> Iterator[Removable]:
    """Attempts without a manifest, and manifests that were set aside; each only when its newest file is old."""
    attempts: dict[str, list[str]] = defaultdict(list)
    aside = []
    for name in group:
        match = ATTEMPT.fullmatch(name)
        if match and (manifest is None or match["attempt"] != manifest.attempt):
            attempts[match["attempt"]].append(name)
        elif name.startswith("manifest.") and name != "manifest.json":
            aside.append(name)
    for attempt, names in attempts.items():
        newest = max(group[name].modified for name in names)
        lock = f"objects/{key}/{attempt}.lock"
        if newest < before and not (isinstance(shelf, Directory) and shelf.is_locked(lock)):
            yield _removable(shelf, "unfinished", "", key, group, newest, names)
    for name in aside:
        if group[name].modified < before:
            yield _removable(shelf, "damaged", "", key, group, group[name].modified, [name])


def _removable(
    shelf: Shelf, kind: Kind, stage: str, key: str, group: Group, last_used: datetime, names: Iterable[str]
) -> Removable:
    ordered = tuple(names)
    return Removable(
        kind=kind, stage=stage, key=key, num_bytes=sum(group[name].num_bytes for name in ordered),
        last_used=last_used, names=tuple(f"objects/{key}/{name}" for name in ordered), shelf=shelf,
    )  # fmt: skip


def _copies(here: Directory, before: datetime) -> Iterator[Removable]:
    """Copies of a bucket's outputs: they have no say, and come again when they are asked for."""
    groups: dict[str, Group] = defaultdict(dict)
    for name, facts in here.list("objects").items():
        key, _, rest = name.partition("/")
        groups[key][rest] = facts
    for key, group in groups.items():
        for found in _leftovers(here, key, group, None, before):
            yield Removable(**{f: getattr(found, f) for f in Removable.__slots__ if f != "kind"}, kind="copy")


def _checkpoints(here: Directory, before: datetime) -> Iterator[Removable]:
    """Checkpoints of trainings that nobody goes on with."""
    groups: dict[str, Group] = defaultdict(dict)
    for name, facts in here.list("scratch").items():
        key, _, rest = name.partition("/")
        if rest:
            groups[key][rest] = facts
    for key, group in groups.items():
        newest = max(facts.modified for facts in group.values())
        if newest < before and not here.is_locked(f"scratch/{key}.lock"):
            yield Removable(
                kind="checkpoints", stage="finetune", key=key, last_used=newest, shelf=here,
                num_bytes=sum(facts.num_bytes for facts in group.values()), names=(f"scratch/{key}.lock",),
            )  # fmt: skip


def _remove_checkpoints(thing: Removable) -> bool:
    """True when they are gone; a training that took them up again meanwhile keeps them."""
    shelf = thing.shelf
    assert isinstance(shelf, Directory)
    directory = shelf.root / "scratch" / thing.key
    with directory.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        shutil.rmtree(directory, ignore_errors=True)
    return True
