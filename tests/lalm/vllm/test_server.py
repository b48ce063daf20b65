"""A server of ours never outlives us, says why it did not start, and leaves nothing when it is stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import ModelConfig, inspect_model
from lalm.vllm import server as server_module
from lalm.vllm.memory import GpuMemory, gpus_of
from lalm.vllm.server import Server, ServerCommand, free_port, server_command

END_TIMEOUT_S = 10.0
"""Less than the guardian's grace: what ends at once must not wait for it."""

PRINT = 'python() { printf "%s\\n" "$@"; }; '

TREE = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
below = [subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)]
print(os.getpid(), *(process.pid for process in below), flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys
guardian = subprocess.Popen([sys.executable, "-m", "lalm.vllm.guardian", *sys.argv[1:]], stdin=subprocess.PIPE)
print(guardian.pid, flush=True)
guardian.wait()
"""

HEALTH = """
import http.server, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


class ScriptCommand(ServerCommand):
    """A server that only says that it is healthy, and has a process below it; or whatever `model` is."""

    def for_port(self, host: str, port: int) -> list[str]:
        return [sys.executable, "-c", self.model, host, str(port)]


class Tree:
    """A parent, its guardian, the guarded command and two processes below that, one with a session of its own."""

    def __init__(self) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, sys.executable, "-c", TREE], stdout=subprocess.PIPE, text=True
        )
        assert self.parent.stdout is not None
        self.guardian = psutil.Process(int(self.parent.stdout.readline()))
        pids = [int(pid) for pid in self.parent.stdout.readline().split()]
        self.command, *self.below = (psutil.Process(pid) for pid in pids)

    def remaining(self) -> list[psutil.Process]:
        """Which of the guarded processes are still there after a while."""
        alive: list[psutil.Process]
        _, alive = psutil.wait_procs([self.guardian, self.command, *self.below], timeout=END_TIMEOUT_S)
        return alive

    def end(self) -> None:
        for process in (self.parent, self.guardian, self.command, *self.below):
            if process.is_running() if isinstance(process, psutil.Process) else process.poll() is None:
                process.kill()
        self.parent.communicate()


@pytest.fixture
def tree() -> Iterator[Tree]:
    tree = Tree()
    yield tree
    tree.end()


def test_a_server_ends_with_all_its_processes_when_its_parent_is_killed(tree: Tree) -> None:
    tree.parent.send_signal(signal.SIGKILL)
    tree.parent.wait()
    assert tree.remaining() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_guardian_that_is_told_to_end_ends_its_server_at_once(tree: Tree, number: signal.Signals) -> None:
    tree.guardian.send_signal(number)
    assert tree.remaining() == []


def test_what_a_dead_server_leaves_behind_is_ended(tree: Tree) -> None:
    tree.command.kill()
    assert tree.remaining() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_guardian_takes_its_server_along(tree: Tree) -> None:
    tree.guardian.kill()
    psutil.wait_procs([tree.command], timeout=END_TIMEOUT_S)
    assert not tree.command.is_running()


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> ServerCommand:
    monkeypatch.setattr(server_module, "require_vllm", lambda kind: "0")
    return ScriptCommand(arguments=(), model=HEALTH)


def test_a_stopped_server_leaves_no_process(healthy: ServerCommand, tmp_path: Path) -> None:
    server = Server(healthy, log=tmp_path / "log")
    seconds: list[float] = []
    server.start(60, seconds.append)
    assert seconds == sorted(seconds) != []
    assert server.pid is not None
    guardian = psutil.Process(server.pid)
    processes = [guardian, *guardian.children(recursive=True)]
    assert len(processes) > 1
    server.stop()
    assert not any(process.is_running() for process in processes)
    assert server.pid is None
    with pytest.raises(EngineError, match="was stopped and is not started again"):
        server.start(60)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_server_whose_guardian_was_killed_is_started_again_alone(
    healthy: ServerCommand, tmp_path: Path
) -> None:
    server = Server(healthy, log=tmp_path / "log")
    server.start(60)
    assert server.pid is not None
    guardian = psutil.Process(server.pid)
    first = guardian.children(recursive=True)
    guardian.kill()
    guardian.wait()
    server.start(60)
    assert not any(process.is_running() for process in first)
    server.stop()


def test_a_command_that_ends_is_reported_with_the_end_of_its_log(
    healthy: ServerCommand, tmp_path: Path
) -> None:
    command = replace(healthy, model="raise SystemExit('no such model')")
    log = tmp_path / "deep" / "log"
    log.parent.mkdir()
    log.write_text("what an earlier server said\n")
    with pytest.raises(EngineError, match=r"(?s)ended while it started.*no such model") as error:
        Server(command, log=log).start(60)
    assert "earlier" not in str(error.value)


def test_a_server_that_is_not_ready_in_time_is_ended(healthy: ServerCommand, tmp_path: Path) -> None:
    server = Server(healthy, log=tmp_path / "log")
    with pytest.raises(EngineError, match=r"not ready after \d+ s \(engine\.startup_timeout_s\)"):
        server.start(0.0)
    assert server.pid is None


def test_stopping_ends_a_start_that_waits_in_another_thread(healthy: ServerCommand, tmp_path: Path) -> None:
    server = Server(healthy, log=tmp_path / "log")
    waiting, errors = threading.Event(), []

    def start() -> None:
        try:
            server.start(60, lambda _: waiting.set())
        except EngineError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    assert waiting.wait(END_TIMEOUT_S)
    server.stop()
    thread.join(END_TIMEOUT_S)
    assert errors
    assert server.pid is None


def test_a_port_that_another_program_listens_on_is_refused(healthy: ServerCommand, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EngineError, match=rf"127\.0\.0\.1:{port} cannot be listened on"):
            Server(healthy, log=tmp_path / "log", port=port).start(60)


def test_a_key_that_is_not_meant_for_vllm_does_not_reach_it(
    monkeypatch: pytest.MonkeyPatch, healthy: ServerCommand, tmp_path: Path
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "of another program")
    without = Server(healthy, log=tmp_path / "log")
    assert "VLLM_API_KEY" not in without._environment()
    with_key = Server(healthy, log=tmp_path / "log", api_key="ours")
    assert with_key._environment()["VLLM_API_KEY"] == "ours"


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:9"), ("0.0.0.0", "http://127.0.0.1:9"), ("::", "http://[::1]:9")],
)
def test_the_url_is_one_that_this_machine_can_open(
    healthy: ServerCommand, tmp_path: Path, host: str, url: str
) -> None:
    assert Server(healthy, log=tmp_path / "log", host=host, port=9).url == url


def test_the_command_for_people_is_one_shell_line_without_machine_or_key(
    monkeypatch: pytest.MonkeyPatch, micro_dir: Path
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "a-secret")
    model = ModelConfig(path=str(micro_dir), device="cpu")
    command = server_command(EngineConfig(), model, inspect_model(model)).with_adapters(
        {"tuned": Path("a b")}
    )
    line = command.for_people("0.0.0.0", 8000)
    assert "a-secret" not in line
    assert sys.executable not in line
    printed = subprocess.run(
        ["bash", "-c", PRINT + line],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert printed == command.for_port("0.0.0.0", 8000)[1:]
    assert '{"name": "tuned", "path": "a b"}' in printed


def test_free_ports_are_free() -> None:
    port = free_port("127.0.0.1")
    with socket.create_server(("127.0.0.1", port)):
        assert not server_module.is_free("127.0.0.1", port)
    assert server_module.is_free("127.0.0.1", port)


def test_replicas_share_only_the_gpus_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_of(1, 2) == ("2", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-7f")
    assert gpus_of(0, 1) == ("4",)
    assert gpus_of(1, 1) == ("GPU-7f",)
    assert gpus_of(5, 0) == ()
    with pytest.raises(EngineError, match="replica 2 needs 2 GPU"):
        gpus_of(1, 2)


def test_memory_that_does_not_come_back_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/asked\ncat {tmp_path}/used\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("lalm.vllm.memory.PATIENCE_S", 0.0)
    (tmp_path / "used").write_text("100\n200\n")
    memory = GpuMemory(("4", "5"))
    memory.remember()
    (tmp_path / "used").write_text("500\n300\n")
    memory.wait_until_free()
    (tmp_path / "used").write_text("500\n20300\n")
    with pytest.raises(EngineError, match="GPU 4,5 still has 20800 MiB in use"):
        memory.wait_until_free()
    assert set((tmp_path / "asked").read_text().splitlines()) == {"--id=4,5"}
