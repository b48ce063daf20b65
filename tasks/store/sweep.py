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
from typing import Any, Literal

from tasks.store.local import Store
from tasks.store.manifest import Manifest, parse_manifest
from tasks.store.objects import StoredObject
from tasks.store.remote import USED_AGAIN
from tasks.store.shelf import Directory, Shelf

YOUNGEST = timedelta(days=1)
ATTEMPT = re.compile(r"(?P<attempt>[0-9a-f]{12})(/.*|\.lock|\.manifest)")
Kind = Literal["output", "damaged", "unfinished", "checkpoints", "copy"]


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
    checkpoints = _checkpoints(here, before)
    if store.bucket is None:
        return [*_outputs(here, roots, before), *checkpoints]
    noted_before = before - USED_AGAIN  # a use after that may not be noted yet
    return [*_outputs(store.bucket, roots, noted_before), *_copies(here, roots, before), *checkpoints]


def remove(things: Iterable[Removable]) -> list[Removable]:
    """Remove them, but not what was used since it was found; returns what was removed."""
    gone = []
    for thing in things:
        now = thing.shelf.list(f"objects/{thing.key}") if thing.kind == "output" else {}
        if any(facts.modified > thing.last_used for name, facts in now.items() if _tells_of_use(name)):
            continue
        if thing.kind == "checkpoints" and not _remove_checkpoints(thing):
            continue
        for names in (thing.names[:1], thing.names[1:]):
            thing.shelf.delete(names)
        gone.append(thing)
    return gone


USES = ("manifest.json", "used")
Group = dict[str, StoredObject]


def _tells_of_use(name: str) -> bool:
    """Also a manifest that was set aside: its output is being made again, and may get it back."""
    return name in USES or name.startswith("manifest.before-")


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
        return parse_manifest(text, key, Path)
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
    """Attempts without a manifest, and manifests that were set aside; each only when its newest file is old.

    A manifest that was set aside may be that of any attempt here: until it is old too, or while a stage is made
    again, none goes.
    """
    attempts: dict[str, list[str]] = defaultdict(list)
    aside = []
    for name in group:
        match = ATTEMPT.fullmatch(name)
        if match and (manifest is None or match["attempt"] != manifest.attempt):
            attempts[match["attempt"]].append(name)
        elif name.startswith("manifest.") and name != "manifest.json":
            aside.append(name)
    locked = {
        name
        for name in group
        if isinstance(shelf, Directory)
        and name.endswith(".lock")
        and shelf.is_locked(f"objects/{key}/{name}")
    }
    if locked and any(name.startswith("manifest.before-") for name in aside):
        return
    for attempt, names in attempts.items():
        newest = max(group[name].modified for name in [*names, *aside])
        if newest < before and f"{attempt}.lock" not in locked:
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


def _copies(here: Directory, roots: Collection[str], before: datetime) -> Iterator[Removable]:
    """Copies of a bucket's outputs that no run stands on: they have no say, and come again when asked for."""
    groups: dict[str, Group] = defaultdict(dict)
    for name, facts in here.list("objects").items():
        key, _, rest = name.partition("/")
        groups[key][rest] = facts
    for key, group in groups.items():
        if key in roots:
            continue
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
                num_bytes=sum(facts.num_bytes for facts in group.values()), names=(),
            )  # fmt: skip


def _remove_checkpoints(thing: Removable) -> bool:
    """True when they are gone; a training that took them up again meanwhile keeps them.

    The lock stays: a training that waits for it would hold a file that the next one does not find.
    """
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
