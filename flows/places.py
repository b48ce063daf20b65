"""Where a run leaves what: `outputs` is a directory, or the address of a bucket.

The stage store lies in `outputs`. Run directories are always local, for they are read by people and browsers: where
`outputs` is an address, they lie below ./outputs, and any machine lays them out again with the same command.
"""

from __future__ import annotations

from pathlib import Path

from tasks.store import is_url

LOCAL = Path("outputs")


def results_dir(outputs: str) -> Path:
    """The local directory of run directories."""
    return LOCAL if is_url(outputs) else Path(outputs)


def store_location(outputs: str) -> str:
    """Where the stage store is: a directory, or an address."""
    return f"{outputs.rstrip('/')}/store" if is_url(outputs) else str(Path(outputs) / "store")


def copies_dir(outputs: str) -> Path:
    """The store's own place on this machine: the store itself, or copies, records, logs and checkpoints of it."""
    return results_dir(outputs) / "store"
