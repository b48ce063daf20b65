"""A disk that fills up in a stage is one clear error; nothing half-written counts, and the rerun completes."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tasks.store import DiskFullError, Store

WRITERS = {
    "python": "(out / 'big.bin').write_bytes(bytes(4_000_000))",
    "pyarrow": "pq.write_table(pa.table({'x': np.random.default_rng(0).random(500_000)}), out / 'big.parquet')",
    "safetensors": "save_file({'x': np.zeros(1_000_000)}, out / 'big.safetensors')",
}

SCRIPT = """
import json, pathlib, resource, shutil, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from safetensors.numpy import save_file
from tasks.store import DiskFullError, Store
root = pathlib.Path(sys.argv[1])
LIMIT
def write(out):
    (out / "small.txt").write_text("small")
    BIG
    return {}
store = Store(root / "store")
try:
    store.ensure("assemble", 1, {"n": 1}, write)
except DiskFullError as error:
    left = [path.name for path in root.rglob("*") if path.is_file()]
    again = store.ensure("assemble", 1, {"n": 1}, lambda out: {}).cached
    print(json.dumps({"error": str(error), "left": left, "again": again}))
"""


def run(root: Path, writer: str, limit: str = "", before: tuple[str, ...] = ()) -> dict[str, object]:
    script = SCRIPT.replace("LIMIT", limit).replace("BIG", WRITERS[writer])
    command = [*before, sys.executable, "-c", textwrap.dedent(script), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS)
def test_full_file_system_is_named_and_nothing_of_the_stage_counts(tmp_path: Path, writer: str) -> None:
    root = tmp_path / "small"
    root.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("no unshare: a small file system cannot be mounted")
    mounted = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    mount = f"mount -t tmpfs -o size=1m tmpfs '{root}'"
    if subprocess.run([*mounted, mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    told = run(root, writer, before=(*mounted, f'{mount} && exec "$@"', "sh"))
    assert told["left"] == []
    assert told["again"] is False
    assert "no space for stage 'assemble'" in str(told["error"])
    assert str(root) in str(told["error"])
    assert "bytes free" in str(told["error"])


def test_file_that_may_not_grow_is_the_same_error(tmp_path: Path) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))"
    told = run(tmp_path, "python", limit)
    assert told["left"] == []
    assert "it had written" in str(told["error"])


def test_other_errors_of_a_stage_stay_what_they_are(tmp_path: Path) -> None:
    def fail(out: Path) -> dict[str, int]:
        raise OSError("the corpus is gone")

    with pytest.raises(OSError, match="the corpus is gone") as failure:
        Store(tmp_path).ensure("stage", 1, {}, fail)
    assert not isinstance(failure.value, DiskFullError)
