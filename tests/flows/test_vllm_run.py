"""A run with `engine.kind: vllm-server` starts its server, frees the device for training, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import uuid
from typing import Any

import psutil
import pytest

from tests.support.command import Simulsa, issued_twice, texts
from tests.support.vllm import require_vllm

pytestmark = pytest.mark.slow

SERVED = ("--set", "engine.kind=vllm-server", "--set", "engine.max_in_flight=16")
MARK = "SIMULSA_TEST_RUN"


@pytest.fixture(scope="module")
def simulsa(tmp_path_factory: pytest.TempPathFactory) -> Simulsa:
    require_vllm()
    simulsa = Simulsa(tmp_path_factory.mktemp("served"))
    simulsa.env |= {MARK: uuid.uuid4().hex, "OMP_NUM_THREADS": "1"}
    return simulsa


@pytest.fixture(scope="module")
def reference(simulsa: Simulsa) -> dict[str, Any]:
    """The same run with the transformers engine, in a store of its own."""
    return simulsa("run", "tiny", outputs=simulsa.outputs / "reference")


def test_a_served_run_equals_one_with_transformers_and_leaves_no_process(
    simulsa: Simulsa, reference: dict[str, Any]
) -> None:
    served = simulsa("run", "tiny", *SERVED)
    assert served["dataset"]["digest"] == reference["dataset"]["digest"]
    assert texts(served) == texts(reference)
    assert served["curves"] == reference["curves"]
    assert served["requests"]["issued"] == reference["requests"]["issued"] > 0
    assert alive(simulsa) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_server_and_continues_from_its_records(
    simulsa: Simulsa, reference: dict[str, Any], number: signal.Signals
) -> None:
    outputs = simulsa.outputs / number.name
    process = subprocess.Popen(
        simulsa.arguments("build", "tiny", *SERVED, outputs=outputs),
        env=simulsa.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: bool(servers(simulsa)) or process.poll() is not None)
    assert process.poll() is None, "the run ended before it started a server: the test proves nothing"
    process.send_signal(number)
    assert process.wait(60) == (143 if number == signal.SIGTERM else -number)
    wait_until(lambda: not servers(simulsa))
    if number == signal.SIGKILL:
        resumed = simulsa("build", "tiny", *SERVED, outputs=outputs)
        assert resumed["dataset"]["digest"] == reference["dataset"]["digest"]
        assert issued_twice(outputs) == 0


def test_a_server_that_cannot_start_is_one_error_with_the_end_of_its_log(simulsa: Simulsa) -> None:
    command = simulsa.arguments(
        "build", "tiny", *SERVED, "--set", "engine.max_model_len=1000000", "--json",
        outputs=simulsa.outputs / "broken",
    )  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=simulsa.env)
    assert done.returncode == 2, done.stderr[-2000:]
    message = json.loads(done.stdout)["error"]["message"]
    assert "ended while it started" in message
    assert "max_model_len" in message
    assert servers(simulsa) == []


def alive(simulsa: Simulsa) -> list[str]:
    """Command lines of the processes that a run of ours left behind."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == simulsa.env[MARK] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def servers(simulsa: Simulsa) -> list[str]:
    return [line for line in alive(simulsa) if "api_server" in line]


def wait_until(condition: Any, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
