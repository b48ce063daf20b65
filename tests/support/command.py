"""The `simulsa` command in a directory of its own, and what its runs left there."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


class Simulsa:
    """The command line in a directory of its own."""

    def __init__(self, home: Path) -> None:
        self.outputs = home / "outputs"
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        self.env |= {"PREFECT_HOME": str(home / "prefect"), "HF_HUB_OFFLINE": "1"}
        self._corpus = home / "corpus"

    def arguments(self, *arguments: str, outputs: Path | None = None) -> list[str]:
        paths = [f"outputs={outputs or self.outputs}", f"corpus.root={self._corpus}"]
        sets = [part for path in paths for part in ("--set", path)]
        return [sys.executable, "-m", "flows.cli", *arguments, *sets]

    def __call__(self, *arguments: str, outputs: Path | None = None) -> dict[str, Any]:
        command = self.arguments(*arguments, "--json", outputs=outputs)
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=self.env)
        assert done.returncode == 0, done.stderr[-3000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def issued_twice(outputs: Path) -> int:
    """How many durable records are of a request that has one already."""
    keys: Counter[str] = Counter()
    for path in (outputs / "store" / "records").rglob("*.jsonl"):
        lines = path.read_text().splitlines(keepends=True)
        keys.update(json.loads(line)["key"] for line in lines if line.endswith("\n"))
    return sum(count - 1 for count in keys.values())


def texts(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Ids, partial targets and their evidence, of every row of a run's dataset."""
    columns = ["id", "partial_text", "kept_ratio", "accepted_tokens"]
    shards = sorted((Path(summary["dataset"]["path"]) / "data").glob("*.parquet"))
    return [
        row
        for shard in shards
        for row in pq.read_table(shard, columns=columns, partitioning=None).to_pylist()
    ]
