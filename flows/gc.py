"""`simulsa gc`: make room in the stage store without touching what a run stands on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from flows.places import copies_dir, results_dir, store_location
from lalm.errors import SimulsaError
from tasks.store import Store, open_store
from tasks.store.sweep import Removable, find_removable, remove

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def collect_garbage(
    outputs: str, *, older_than: str = "1d", forget: Sequence[str] = (), delete: bool = False
) -> dict[str, Any]:
    """What can go from the store of `outputs`, by kind, and with `delete` its removal.

    An output goes when no run stands on it, none of those that stay was made of it, and nobody used it for
    `older_than`. Runs in `forget` count as gone. Raises SimulsaError on an age or a run that is none.
    """
    age = parse_age(older_than)
    store = open_store(store_location(outputs), copies_dir(outputs))
    runs = _runs(store, results_dir(outputs))
    unknown = sorted(set(forget) - runs.keys())
    if unknown:
        raise SimulsaError(
            f"--forget {unknown[0]}: no such run; the store knows {', '.join(sorted(runs)) or 'none'}"
        )
    roots = {key for name, keys in runs.items() if name not in forget for key in keys}
    found = find_removable(store, roots, age)
    gone = remove(found) if delete else []
    if delete:
        for name in forget:
            store.forget_run(name)
    return {
        "store": store_location(outputs), "deleted": delete, "older_than": older_than, "runs": sorted(runs),
        "forgotten": sorted(forget), "bytes": sum(thing.num_bytes for thing in (gone if delete else found)),
        "things": [_plain(thing) for thing in (gone if delete else found)],
    }  # fmt: skip


def parse_age(text: str) -> timedelta:
    """`36h`, `30d` or `2w`; raises SimulsaError on anything else."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if match is None:
        raise SimulsaError(f"--older-than takes a number and h, d or w, e.g. 30d, got {text!r}")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _runs(store: Store, results: Path) -> dict[str, list[str]]:
    """What each run stands on: by its record, and by the outputs that lie in its directory.

    In a directory of our own, a run whose directory was deleted is gone; in a bucket only --forget ends one.
    """
    runs = store.run_records()
    if store.bucket is None:
        runs = {name: keys for name, keys in runs.items() if (results / name).is_dir()}
    for marker in [*results.glob("*/*/.stage-key"), *results.glob("*/*/*/.stage-key")]:
        name = marker.relative_to(results).parts[0]
        runs[name] = [*runs.get(name, []), *marker.read_text().split()[:1]]
    return runs


def _plain(thing: Removable) -> dict[str, Any]:
    facts = {name: getattr(thing, name) for name in ("kind", "stage", "key", "num_bytes")}
    return facts | {"last_used": thing.last_used.isoformat(timespec="seconds")}
