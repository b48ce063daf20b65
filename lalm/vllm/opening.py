"""Engines of the kinds `vllm` and `vllm-server`, opened: model named, replicas ready, canary answered.

Their identity is known before anything is loaded or started.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import ModelConfig, ModelInfo, choose_device, local_directory
from lalm.model_files import read_json
from lalm.prompts import Prompt, audio_token_id, build_prompt
from lalm.vllm.canary import check_adapter, check_engine
from lalm.vllm.engine import VllmEngine
from lalm.vllm.environment import engine_arguments, installed_version, require_vllm, set_variables
from lalm.vllm.fleet import Fleet
from lalm.vllm.local import LocalReplica
from lalm.vllm.memory import gpus_of
from lalm.vllm.remote import HttpReplica
from lalm.vllm.replica import Replica
from lalm.vllm.server import Server, served_name, server_command

RESTART_AFTER_S = 30.0
"""A server of ours that lives but is not healthy for so long is started again."""

Waiting = Callable[[float], None]


def vllm_identity(config: EngineConfig, model: ModelConfig, info: ModelInfo) -> dict[str, str]:
    """What decides results: model, precision, vLLM's version. Raises EngineError where that cannot be known."""
    version = installed_version()
    if config.urls and version is None:
        version = _version_of(config.urls[0], config)
    return {
        "kind": "vllm",
        "model": info.digest,
        "dtype": model.dtype,
        "quantization": config.quantization or "none",
        "vllm": version or require_vllm(config.kind),
    }


def open_vllm(
    config: EngineConfig,
    model: ModelConfig,
    info: ModelInfo,
    processor: Any,
    *,
    logs: Path,
    waiting: Waiting = lambda _: None,
) -> VllmEngine:
    """An engine that answered its canary; whatever was started is stopped again when anything fails.

    `logs` receives the output of servers that are started, `waiting` the seconds they take.
    """
    prompt = build_prompt(processor, model, "en", "de")
    settings: dict[str, Any] = {  # whatever can be wrong is known before anything is started
        "identity": vllm_identity(config, model, info), "window_samples": info.window_samples,
        "audio_id": audio_token_id(processor.tokenizer, info.family), "vocab_size": vocab_size(info),
        "min_samples": info.family.min_samples,
        "check_adapter": lambda engine, adapter: check_adapter(engine, prompt, adapter),
    }  # fmt: skip
    replicas = _replicas(config, model, info, prompt, logs, waiting)
    fleet = Fleet(replicas, max_in_flight=config.max_in_flight, patience_s=config.patience_s)
    engine = VllmEngine(fleet, **settings)
    try:
        check_engine(engine, prompt)
    except BaseException:  # Ctrl-C too: what was started must not stay
        engine.close()
        raise
    return engine


def vocab_size(info: ModelInfo) -> int:
    """Rows of the model's output layer, from its configuration."""
    settings = read_json(info.name, local_directory(info) / "config.json")
    text = settings.get("text_config")
    size = (text if isinstance(text, dict) else settings).get("vocab_size")
    if not isinstance(size, int):
        raise EngineError(f"model {info.name}: config.json does not say vocab_size, got {size!r}")
    return size


def _replicas(
    config: EngineConfig, model: ModelConfig, info: ModelInfo, prompt: Prompt, logs: Path, waiting: Waiting
) -> Sequence[Replica]:
    if config.kind == "vllm":
        return [_local(config, model, info, prompt)]
    if config.urls:
        return [_given(url, config, info, prompt) for url in config.urls]
    return _started(config, model, info, prompt, logs, waiting)


def _local(config: EngineConfig, model: ModelConfig, info: ModelInfo, prompt: Prompt) -> Replica:
    require_vllm(config.kind)
    device = choose_device(model.device)
    set_variables(config, device)

    def make_llm() -> Any:
        from vllm import LLM

        from lalm.vllm.plugin import register

        register()
        return LLM(**engine_arguments(config, model, local_directory(info), device))

    gpus = gpus_of(0, config.tensor_parallel_size) if device.type == "cuda" else ()
    return LocalReplica(make_llm, prompt.stop_ids, gpus=gpus)


def _given(url: str, config: EngineConfig, info: ModelInfo, prompt: Prompt) -> Replica:
    """A server of somebody else, checked to serve this very model."""
    names = [entry["id"] for entry in _ask(url, "/v1/models", config)["data"]]
    if served_name(info) not in names:
        raise EngineError(
            f"{url} serves {', '.join(names)}, but this run needs {served_name(info)} (name and digest of model.path): "
            "start it with `simulsa serve` and this configuration"
        )
    _check_version(url, config)
    return _http(url, config, info, prompt)


def _http(url: str, config: EngineConfig, info: ModelInfo, prompt: Prompt) -> HttpReplica:
    return HttpReplica(url, **_http_settings(config, info, prompt))


def _http_settings(config: EngineConfig, info: ModelInfo, prompt: Prompt) -> dict[str, Any]:
    return {
        "model": served_name(info), "stop_ids": prompt.stop_ids, "api_key": api_key(config),
        "timeout_s": config.request_timeout_s, "max_in_flight": config.max_in_flight,
    }  # fmt: skip


def _started(
    config: EngineConfig, model: ModelConfig, info: ModelInfo, prompt: Prompt, logs: Path, waiting: Waiting
) -> Sequence[Replica]:
    """Servers of our own, started side by side; if one fails, none stays."""
    command = server_command(config, model, info)
    on_gpu = choose_device(model.device).type == "cuda" and config.replicas > 1
    servers = [
        Server(
            command, log=logs / f"vllm-{number}.log", gpu=number if on_gpu else None, api_key=api_key(config)
        )
        for number in range(config.replicas)
    ]
    with ThreadPoolExecutor(len(servers)) as pool:
        try:
            list(pool.map(lambda server: server.start(config.startup_timeout_s, waiting), servers))
        except BaseException:
            for server in servers:  # before the pool waits for their starts to end
                server.stop()
            raise
    return [OwnReplica(server, config, _http_settings(config, info, prompt)) for server in servers]


class OwnReplica(HttpReplica):
    """A server that we started: when it dies it is started again, and it ends with the engine."""

    def __init__(self, server: Server, config: EngineConfig, settings: dict[str, Any]) -> None:
        super().__init__(server.url, **settings)
        self.server = server
        self._startup_timeout_s = config.startup_timeout_s
        self._ill_since: float | None = None

    async def healthy(self) -> bool:
        """As it says itself; remembers since when it does not."""
        if await super().healthy():
            self._ill_since = None
            return True
        self._ill_since = self._ill_since or time.monotonic()
        return False

    async def revive(self) -> None:
        """Start it again if its process is gone or it has been ill for long; EngineError when that fails."""
        ill_s = time.monotonic() - (self._ill_since or time.monotonic())
        if self.server.pid is not None and ill_s < RESTART_AFTER_S:
            return
        self.forget_adapters()
        await asyncio.to_thread(self.server.start, self._startup_timeout_s)

    async def close(self) -> None:
        """Stop the server and see that nothing of it is left."""
        await super().close()
        await asyncio.to_thread(self.server.stop)


def api_key(config: EngineConfig) -> str | None:
    """The key from the environment; it is put into headers and servers' environments, never anywhere else."""
    return os.environ.get(config.api_key_variable) or None


def _check_version(url: str, config: EngineConfig) -> None:
    """Replicas of another version than the identity says would be recorded under a wrong name."""
    expected, found = installed_version() or _version_of(config.urls[0], config), _version_of(url, config)
    if found != expected:
        raise EngineError(
            f"{url} runs vLLM {found}, but this run is recorded as vLLM {expected}: use one version everywhere"
        )


def _version_of(url: str, config: EngineConfig) -> str:
    return str(_ask(url, "/version", config)["version"])


def _ask(url: str, path: str, config: EngineConfig) -> dict[str, Any]:
    key = api_key(config)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = httpx.get(url + path, headers=headers, timeout=10.0, trust_env=False).raise_for_status()
        value: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise EngineError(
            f"no vLLM server answers at {url}{path} ({error}): start it with `simulsa serve`, or correct engine.urls"
        ) from error
    return value
