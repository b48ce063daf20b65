"""The whole pipeline as its user runs it: the real command, the real flow engine, the micro LALM, the tiny profile."""

import io
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile

from tests.support.command import Simulsa, issued_twice, texts

pytestmark = pytest.mark.slow

STAGES = ["select", "truncate", "generate", "assemble", "dataset", "finetune", "stream", "score"]


@pytest.fixture(scope="module")
def simulsa(tmp_path_factory: pytest.TempPathFactory) -> Simulsa:
    return Simulsa(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def first(simulsa: Simulsa) -> dict[str, Any]:
    return simulsa("run", "tiny")


def test_run_measures_three_systems_and_leaves_its_results(simulsa: Simulsa, first: dict[str, Any]) -> None:
    assert [stage["name"] for stage in first["stages"]] == STAGES
    assert set(first["curves"]) == {"base", "control", "simulsa"}
    assert {point["chunk_ms"] for point in first["curves"]["simulsa"]} == {1600, None}
    run_dir = simulsa.outputs / "tiny"
    for name in (
        "config.yaml",
        "report.html",
        "scores/points.csv",
        "scores/utterances.csv",
        "scores/curves.svg",
        "dataset/README.md",
        "adapters/simulsa/adapter_model.safetensors",
    ):
        assert (run_dir / name).stat().st_size > 0
    assert json.loads((run_dir / "summary.json").read_text()) == first


def test_balance_holds_and_rows_play(simulsa: Simulsa, first: dict[str, Any]) -> None:
    balance = first["dataset"]
    assert (
        balance["input"] == balance["not_selected"] + balance["rejected_at_read"] + balance["selected"] == 200
    )
    assert balance["selected"] == balance["rows"] + balance["rejected_later"] > 0
    shards = sorted((simulsa.outputs / "tiny" / "dataset" / "data").glob("*.parquet"))
    rows = [row for shard in shards for row in pq.read_table(shard, partitioning=None).to_pylist()]
    assert len(rows) == balance["rows"]
    for row in rows:
        waveform, rate_hz = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert (rate_hz, len(waveform)) == (16_000, row["audio_ref"]["num_samples"])
        assert row["messages"][1]["content"] == row["partial_text"]


def test_second_run_finds_every_stage_and_asks_the_model_nothing(
    simulsa: Simulsa, first: dict[str, Any]
) -> None:
    second = simulsa("run", "tiny")
    assert all(stage["cached"] == stage["shards"] for stage in second["stages"])
    assert second["requests"] == {"issued": 0, "replayed": 0}
    assert second["curves"] == first["curves"]


def test_report_is_rebuilt_from_the_store_alone(simulsa: Simulsa, first: dict[str, Any]) -> None:
    report = Path(first["report"])
    report.unlink()
    assert simulsa("report", "tiny")["requests"] == {"issued": 0, "replayed": 0}
    assert "</html>" in report.read_text()


def test_report_of_another_configuration_is_refused_and_changes_nothing(
    simulsa: Simulsa, first: dict[str, Any]
) -> None:
    before = (simulsa.outputs / "tiny" / "config.yaml").read_text()
    command = simulsa.arguments("report", "tiny", "--json", "--set", "truncate.fraction=0.3")
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=simulsa.env)
    assert done.returncode == 2
    assert "has no finished output" in json.loads(done.stdout)["error"]["message"]
    assert (simulsa.outputs / "tiny" / "config.yaml").read_text() == before


def test_build_after_a_run_keeps_its_scores(simulsa: Simulsa, first: dict[str, Any]) -> None:
    assert simulsa("build", "tiny")["curves"] == first["curves"]


def test_other_batch_size_and_worker_count_give_the_same_rows(
    simulsa: Simulsa, first: dict[str, Any]
) -> None:
    other = simulsa(
        "build", "tiny", "--set", "engine.batch_size=3", "--set", "workers=1", outputs=simulsa.outputs / "b"
    )
    assert texts(first) == texts(other)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_run_resumes_to_equal_bytes_and_repeats_no_recorded_request(
    simulsa: Simulsa, first: dict[str, Any], seed: int
) -> None:
    outputs = simulsa.outputs / f"killed-{seed}"
    process = subprocess.Popen(
        simulsa.arguments("run", "tiny", outputs=outputs),
        env=simulsa.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    _wait_for(process, outputs / "store" / "objects", parts=random.Random(seed).randint(3, 20))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before the kill: the test proves nothing"
    resumed = simulsa("run", "tiny", outputs=outputs)
    assert resumed["dataset"]["digest"] == first["dataset"]["digest"]
    assert resumed["curves"] == first["curves"]
    assert sum(stage["cached"] for stage in resumed["stages"]) >= 3
    assert issued_twice(outputs) == 0


def _wait_for(process: subprocess.Popen[bytes], objects: Path, parts: int) -> None:
    """Until so many stage outputs exist; the moment of the kill then depends on progress, not on speed."""
    while process.poll() is None and len(list(objects.glob("*/manifest.json"))) < parts:
        time.sleep(0.02)
