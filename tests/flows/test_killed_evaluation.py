"""An evaluation killed and run again leaves the bytes of an undisturbed one; timing it changes no other figure."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import Simulsa, issued_twice

pytestmark = pytest.mark.slow

FIGURES = ("curves", "equal_latency", "ceiling", "failed")
STREAMS, POINTS = "stream", 6
"""Three systems at two chunk sizes each."""


@pytest.fixture(scope="module")
def simulsa(tmp_path_factory: pytest.TempPathFactory) -> Simulsa:
    """A directory in which everything but the evaluation is made."""
    made = Simulsa(tmp_path_factory.mktemp("evaluation"))
    made("finetune", "tiny")
    return made


@pytest.fixture(scope="module")
def undisturbed(simulsa: Simulsa) -> dict[str, bytes]:
    outputs = copy_of(simulsa, "undisturbed")
    simulsa("evaluate", "tiny", outputs=outputs)
    return results(outputs)


@pytest.mark.parametrize("seed", [1])
def test_a_killed_evaluation_run_again_leaves_equal_bytes(
    simulsa: Simulsa, undisturbed: dict[str, bytes], seed: int
) -> None:
    outputs = copy_of(simulsa, f"killed-{seed}")
    process = subprocess.Popen(
        simulsa.arguments("evaluate", "tiny", outputs=outputs),
        env=simulsa.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    points = random.Random(seed).randint(1, POINTS - 1)
    while process.poll() is None and streamed(outputs) < points:
        time.sleep(0.02)  # the moment of the kill depends on progress, not on speed
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the evaluation ended before the kill: the test proves nothing"
    assert streamed(outputs) < POINTS
    assert not (outputs / "tiny" / "report.html").exists()

    again = simulsa("evaluate", "tiny", outputs=outputs)

    [stage] = [stage for stage in again["stages"] if stage["name"] == STREAMS]
    assert stage["cached"] >= points
    assert issued_twice(outputs) == 0
    found = results(outputs)
    assert found.keys() == undisturbed.keys()
    assert [name for name in found if found[name] != undisturbed[name]] == []


def test_timed_streams_are_measured_beside_the_curves_and_change_none(
    simulsa: Simulsa, undisturbed: dict[str, bytes]
) -> None:
    outputs = simulsa.outputs.with_name("undisturbed")
    timed = "evaluate.timed={utterances: 2, chunk_ms: [1600], systems: [base, simulsa], warm_up: 1}"
    summary = simulsa("evaluate", "tiny", "--set", timed, outputs=outputs)
    assert {name: json.dumps(summary[name]).encode() for name in FIGURES} == {
        name: undisturbed[name] for name in FIGURES
    }
    [stage] = [stage for stage in summary["stages"] if stage["name"] == "stream_timed"]
    assert (stage["shards"], stage["cached"]) == (2, 0)
    assert summary["timed"]["hardware"]["threads"] >= 1
    for system in ("base", "simulsa"):
        [point] = summary["timed"]["curves"][system]
        assert (point["chunk_ms"], point["n_utterances"]) == (1600, 2)
        assert point["LAAL_CA"] > point["LAAL"]
        assert point["RTF"] > 0


def copy_of(simulsa: Simulsa, name: str) -> Path:
    """Outputs of their own, with dataset and adapters made."""
    return Path(shutil.copytree(simulsa.outputs, simulsa.outputs.with_name(name)))


def streamed(outputs: Path) -> int:
    """How many points of the curves are finished."""
    manifests = (outputs / "store" / "objects").glob("*/manifest.json")
    return sum(json.loads(path.read_text())["stage"] == STREAMS for path in manifests)


def results(outputs: Path) -> dict[str, bytes]:
    """Everything an evaluation says; only the report's table of stages and the summary's may say how long it took."""
    run_dir = outputs / "tiny"
    summary = json.loads((run_dir / "summary.json").read_text())
    report = (run_dir / "report.html").read_bytes()
    timeless, count = re.subn(rb'<section id="stages">.*?</section>', b"", report, flags=re.DOTALL)
    assert count == 1
    [scores] = [
        path.parent / json.loads(path.read_text())["attempt"] / "scores.json"
        for path in (outputs / "store" / "objects").glob("*/manifest.json")
        if json.loads(path.read_text())["stage"] == "score"
    ]
    exports = {path.name: path.read_bytes() for path in (run_dir / "scores").iterdir()}
    figures = {name: json.dumps(summary[name]).encode() for name in FIGURES}
    return exports | figures | {"report.html": timeless, "scores.json": scores.read_bytes()}
