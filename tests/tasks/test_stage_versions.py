"""A stage's version cannot be forgotten: when what it writes changes, so must its version.

After a change on purpose: raise the stage's `*_VERSION` in tasks/ and run
`UPDATE_GOLDEN=1 pytest tests/tasks/test_stage_versions.py`. Float evidence, which differs between machines in its
last digits, and audio bytes stay outside of the golden digests.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from tasks.store import Manifest, fingerprint
from tests.support.stages import make_demo_bench

GOLDEN = Path(__file__).parent / "golden_stages.json"
FLOATS_AND_BYTES = {
    "audio", "audio_ref", "audio_sha256", "kept_sha256", "mean_logprob", "kept_logprobs", "rival_logprobs",
    "other_logprobs", "model_revision",
}  # fmt: skip


def records(manifest: Manifest, *names: str) -> list[dict[str, Any]]:
    """The rows of some Parquet files, without floats and bytes that differ between machines."""
    rows = [
        row for name in names for row in pq.read_table(manifest.path(name), partitioning=None).to_pylist()
    ]
    return [{key: value for key, value in row.items() if key not in FLOATS_AND_BYTES} for row in rows]


def adapter(manifest: Manifest) -> object:
    with safe_open(manifest.path("adapter_model.safetensors"), framework="pt") as weights:
        shapes = {name: list(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    return [shapes, manifest.info["drawn"], manifest.info["skipped"], sorted(manifest.files)]


def traces(manifest: Manifest) -> object:
    return [json.loads(line) for line in manifest.path("traces.jsonl").read_text().splitlines()]


def scores(manifest: Manifest) -> object:
    (point, *_) = json.loads(manifest.path("scores.json").read_text())["curves"]["simulsa"]
    return {name: round(value, 3) for name, value in point.items() if isinstance(value, float)}


ESSENCE: dict[str, Callable[[Manifest], object]] = {
    "select": lambda m: [records(m, "selected-0.parquet", "selected-1.parquet", "rejected.parquet"), m.info],
    "truncate": lambda m: records(m, "truncated.parquet", "rejected.parquet"),
    "generate": lambda m: records(m, "partial.parquet", "rejected.parquet"),
    "assemble": lambda m: records(m, *(name for name in sorted(m.files) if name.startswith("data/"))),
    "dataset": lambda m: [sorted(m.files), {k: v for k, v in m.info.items() if k != "digest"}],
    "finetune": adapter,
    "stream": traces,
    "score": scores,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    return make_demo_bench(tmp_path_factory.mktemp("golden")).run()


@pytest.mark.parametrize("stage", ESSENCE)
def test_changed_output_has_a_new_version(stage: str, made: dict[str, list[Manifest]]) -> None:
    golden = json.loads(GOLDEN.read_text())
    digest = fingerprint([ESSENCE[stage](manifest) for manifest in made[stage]])
    now = {"version": made[stage][0].version, "digest": digest}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(golden | {stage: now}, indent=2) + "\n")
        return
    assert now == golden[stage], (
        f"stage {stage!r} writes something else than version {golden[stage]['version']} did: raise its *_VERSION in "
        f"tasks/, then UPDATE_GOLDEN=1 pytest {__name__.replace('.', '/')}.py"
    )
