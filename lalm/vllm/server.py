"""A vLLM server that we start, watch and stop: ready when it says so and a canary request has its known answer.

It listens on the loopback interface unless told otherwise, ends with its parent (`lalm.vllm.guardian`), and may be
started again when it dies, until it is stopped.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import psutil
import torch

from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import ModelConfig, ModelInfo, choose_device, local_directory
from lalm.vllm.environment import as_flags, engine_arguments, require_vllm, variables
from lalm.vllm.memory import GpuMemory, gpus_of

MODULE = "vllm.entrypoints.openai.api_server"
KEY_VARIABLE = "VLLM_API_KEY"
POLL_S = 0.25
STOP_TIMEOUT_S = 40.0
KILL_TIMEOUT_S = 10.0
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """How to start a server for one model: the same on every machine but for host, port and paths.

    `gpus` is how many GPUs one server takes; none on CPU.
    """

    arguments: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    model: str
    gpus: int = 0

    def for_port(self, host: str, port: int) -> list[str]:
        """The whole command line."""
        return [sys.executable, "-m", MODULE, *self.arguments, "--host", host, "--port", str(port)]

    def for_people(self, host: str, port: int) -> str:
        """The command to type on another machine, its environment first."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in sorted(self.variables.items())]
        return " ".join([*settings, "python", *map(shlex.quote, self.for_port(host, port)[1:])])

    def with_adapters(self, adapters: Mapping[str, Path]) -> ServerCommand:
        """The same server that also has these adapters from the start, name -> directory."""
        modules = [json.dumps({"name": name, "path": str(path)}) for name, path in adapters.items()]
        flags = ["--lora-modules", *modules] if modules else []
        return replace(self, arguments=[*self.arguments, *flags])


def server_command(
    config: EngineConfig,
    model: ModelConfig,
    info: ModelInfo,
    *,
    directory: Path | None = None,
    device: torch.device | None = None,
) -> ServerCommand:
    """The server for `model`; its name carries the model's digest, so that a client knows what it talks to.

    `directory` and `device` are those of this machine unless the command is for another.
    """
    device = device or choose_device(model.device)
    name = served_name(info)
    arguments = engine_arguments(config, model, directory or local_directory(info), device)
    arguments |= {
        "served_model_name": name, "enable_scale_out": True,
        "media_io_kwargs": {"audio": {"audio_backend": "soundfile"}}, "uvicorn_log_level": "warning",
    }  # fmt: skip
    environment = variables(config, device) | {
        "HF_HUB_OFFLINE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"
    }  # fmt: skip
    return ServerCommand(
        arguments=as_flags(arguments),
        variables=environment,
        model=name,
        gpus=config.tensor_parallel_size if device.type == "cuda" else 0,
    )


def served_name(info: ModelInfo) -> str:
    """`<directory or repository>@<digest>`: equal names mean equal weights."""
    return f"{Path(info.name).name}@{info.digest[:12]}"


class Server:
    """One server process; `start` returns when it is ready, `stop` when nothing of it is left.

    `gpu` is the server's number among those that share this machine's GPUs; None leaves it all of them. `stop` may be
    called from any thread, and is the end: a `start` that waits meanwhile, or comes later, raises EngineError.
    """

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
        self._api_key = api_key
        self._gpus = None if gpu is None else gpus_of(gpu, command.gpus)
        self._memory = GpuMemory(gpus_of(gpu or 0, command.gpus))
        self._lock = threading.Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._below: list[psutil.Process] = []
        self._log_begins = 0
        self.port = port or free_port(host)
        self.log = log

    @property
    def url(self) -> str:
        """Where it listens, as a client on this machine sees it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The guardian's process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, timeout_s: float, waiting: Callable[[float], None] = lambda _: None) -> None:
        """Start the process and wait until `/health` answers; `waiting` is told the seconds so far.

        Raises EngineError with the end of the log when the process ends or the time is over, and when another
        program listens on the port.
        """
        require_vllm("vllm-server")
        self._end()
        with self._lock:
            if self._stopped:
                raise EngineError(f"the vLLM server at {self.url} was stopped and is not started again")
            if not is_free(self._host, self.port):
                raise EngineError(
                    f"{self._host}:{self.port} cannot be listened on (another program does, or the address is not this "
                    "machine's): end that program, or take another port"
                )
            self._spawn()
        self._wait(timeout_s, waiting)
        with self._lock:
            if self._process is None:
                raise EngineError(f"the vLLM server at {self.url} was stopped while it started")
            self._below = _below(self._process.pid)

    def stop(self) -> None:
        """End the server; raises EngineError if a process of it, or memory it took on the GPU, remains."""
        with self._lock:
            self._stopped = True
        self._end()

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "lalm.vllm.guardian", *self._command.for_port(self._host, self.port)]
        self._memory.remember()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_begins = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environment()
            )

    def _environment(self) -> dict[str, str]:
        environment = dict(self._command.variables) | os.environ
        if self._gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self._gpus)
        environment.pop(KEY_VARIABLE, None)  # vLLM would ask for a key that no client of ours sends
        return environment | ({KEY_VARIABLE: self._api_key} if self._api_key else {})

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            below, self._below = self._below, []
        if process is None:
            return
        below = [*below, *_below(process.pid)]
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if alive := _killed(below):
            raise EngineError(
                f"the vLLM server was told to stop but {len(alive)} of its processes remain: kill "
                f"{' '.join(str(left.pid) for left in alive)}"
            )
        self._memory.wait_until_free()

    def _wait(self, timeout_s: float, waiting: Callable[[float], None]) -> None:
        begun = time.monotonic()
        while self.pid is not None:
            if self._answers():
                return
            seconds = time.monotonic() - begun
            if seconds > timeout_s:
                self._end()
                raise EngineError(
                    f"the vLLM server was not ready after {seconds:.0f} s (engine.startup_timeout_s); "
                    f"its log {self.log} ends:\n{self._tail()}"
                )
            waiting(seconds)
            time.sleep(POLL_S)
        self._end()
        raise EngineError(f"the vLLM server ended while it started; its log {self.log} ends:\n{self._tail()}")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _tail(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_begins)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])


def _below(pid: int) -> list[psutil.Process]:
    """Every process below `pid`, those with a session of their own too."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _killed(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Kill what is left of `processes`, whose guardian has ended; returns those that will not go."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return list(psutil.wait_procs(processes, timeout=KILL_TIMEOUT_S)[1])


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    with _listener(host, 0) as probe:
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        _listener(host, port).close()
    except OSError:
        return False
    return True


def _listener(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
