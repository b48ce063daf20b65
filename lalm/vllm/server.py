"""A vLLM server that we start, watch and stop: ready when it says so and a canary request has its known answer.

It listens on the loopback interface unless told otherwise, ends with its parent (`lalm.vllm.guardian`), and is
started again when it dies.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import ModelConfig, ModelInfo, choose_device, local_directory
from lalm.vllm.environment import as_flags, engine_arguments, require_vllm, variables
from lalm.vllm.memory import GpuMemory

MODULE = "vllm.entrypoints.openai.api_server"
POLL_S = 0.25
STOP_TIMEOUT_S = 40.0
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """How to start a server for one model: the same on every machine but for host, port and paths."""

    arguments: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    model: str

    def for_port(self, host: str, port: int) -> list[str]:
        """The whole command line."""
        return [sys.executable, "-m", MODULE, *self.arguments, "--host", host, "--port", str(port)]

    def for_people(self, host: str, port: int) -> str:
        """The command to type on another machine, its environment first."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in sorted(self.variables.items())]
        return " ".join([*settings, "python", *map(shlex.quote, self.for_port(host, port)[1:])])


def server_command(config: EngineConfig, model: ModelConfig, info: ModelInfo) -> ServerCommand:
    """The server for `model`; its name carries the model's digest, so that a client knows what it talks to."""
    device = choose_device(model.device)
    name = served_name(info)
    arguments = engine_arguments(config, model, local_directory(info), device)
    arguments |= {
        "served_model_name": name, "enable_scale_out": True,
        "media_io_kwargs": {"audio": {"audio_backend": "soundfile"}}, "uvicorn_log_level": "warning",
    }  # fmt: skip
    environment = variables(config, device) | {
        "HF_HUB_OFFLINE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"
    }  # fmt: skip
    return ServerCommand(arguments=as_flags(arguments), variables=environment, model=name)


def served_name(info: ModelInfo) -> str:
    """`<directory or repository>@<digest>`: equal names mean equal weights."""
    return f"{Path(info.name).name}@{info.digest[:12]}"


class Server:
    """One server process; `start` returns when it is ready, `stop` when nothing of it is left."""

    def __init__(
        self,
        command: ServerCommand,
        *,
        log: Path,
        host: str = "127.0.0.1",
        port: int | None = None,
        gpu: int | None = None,
        api_key: str | None = None,
    ) -> None:
        self._command = command
        self._host = host
        self._gpu = gpu
        self._api_key = api_key
        self._process: subprocess.Popen[bytes] | None = None
        self._memory = GpuMemory(gpu or 0)
        self.port = port or free_port(host)
        self.log = log

    @property
    def url(self) -> str:
        """Where it listens, as a client on this machine sees it."""
        return f"http://{'127.0.0.1' if self._host == '0.0.0.0' else self._host}:{self.port}"  # noqa: S104

    @property
    def pid(self) -> int | None:
        """The guardian's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout_s: float, waiting: Callable[[float], None] = lambda _: None) -> None:
        """Start the process and wait until `/health` answers; `waiting` is told the seconds so far.

        Raises EngineError with the end of the log when the process ends or the time is over.
        """
        require_vllm("vllm-server")
        self.stop()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(self._command.variables) | os.environ
        if self._gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = str(self._gpu)
        if self._api_key:
            environment["VLLM_API_KEY"] = self._api_key
        command = [sys.executable, "-m", "lalm.vllm.guardian", *self._command.for_port(self._host, self.port)]
        self._memory.remember()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
            )
        self._wait(timeout_s, waiting)

    def stop(self) -> None:
        """End the server; raises EngineError if a process of it, or memory it took on the GPU, remains."""
        process, self._process = self._process, None
        if process is None:
            return
        started = _family(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _, alive = psutil.wait_procs(started, timeout=STOP_TIMEOUT_S)
        if alive:
            raise EngineError(
                f"the vLLM server was told to stop but {len(alive)} of its processes remain: kill "
                f"{' '.join(str(left.pid) for left in alive)}"
            )
        self._memory.wait_until_free()

    def _wait(self, timeout_s: float, waiting: Callable[[float], None]) -> None:
        begun = time.monotonic()
        while not self._answers():
            seconds = time.monotonic() - begun
            if self.pid is None:
                raise EngineError(
                    f"the vLLM server ended while it started; its log {self.log} ends:\n{self._tail()}"
                )
            if seconds > timeout_s:
                self.stop()
                raise EngineError(
                    f"the vLLM server was not ready after {seconds:.0f} s (engine.startup_timeout_s); "
                    f"its log {self.log} ends:\n{self._tail()}"
                )
            waiting(seconds)
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])


def _family(pid: int) -> list[psutil.Process]:
    """Every process below `pid`, those with a session of their own too."""
    try:
        children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        return children
    except psutil.NoSuchProcess:
        return []


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
