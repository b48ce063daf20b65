"""What a hit and a miss cost: the store in a directory, and the store in a bucket on loopback, side by side.

Run `python benchmarks/stores.py [--outputs 200]`; needs the extras `s3` and `dev` (moto is the server).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.store import RemoteStore, Store
from tests.support.s3 import s3_server

FILE_BYTES = 100_000


def write(out: Path) -> dict[str, int]:
    """Two files, as a stage of one shard leaves them."""
    for name in ("rows.parquet", "rejected.parquet"):
        (out / name).write_bytes(bytes(FILE_BYTES))
    return {"rows": 1}


def milliseconds(act: Callable[[int], object], times: int) -> float:
    start = time.perf_counter()
    for number in range(times):
        act(number)
    return (time.perf_counter() - start) / times * 1000


def measure(label: str, store: Store, again: Store, times: int) -> float:
    """Print what a miss, a hit on another machine and a hit with its files take; returns the hit."""
    miss = milliseconds(lambda n: store.ensure("stage", 1, {"n": n}, write), times)
    hit = milliseconds(lambda n: again.ensure("stage", 1, {"n": n}, write), times)
    read = milliseconds(lambda n: again.ensure("stage", 1, {"n": n}, write).directory, times)
    print(f"{label:<24}  miss {miss:7.2f} ms   hit {hit:7.2f} ms   hit and its files {read:7.2f} ms")
    return hit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", type=int, default=200, help="outputs that are made and read back")
    times = parser.parse_args().outputs
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch, s3_server(patch) as s3:
        root = Path(home)
        local = measure("directory", Store(root / "store"), Store(root / "store"), times)
        url = s3.url("bench")
        remote = measure(
            "bucket on loopback", RemoteStore(url, root / "a"), RemoteStore(url, root / "b"), times
        )
        print(f"=> hit in a bucket / hit in a directory: {remote / local:.0f}")


if __name__ == "__main__":
    main()
