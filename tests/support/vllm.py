"""vLLM in tests: the real one, opened once per session, and stand-in servers as processes that may be killed."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import torch
from peft import LoraConfig, get_peft_model

from lalm.engine_config import EngineConfig
from lalm.loading import LoadedModel, ModelConfig, inspect_model, load_model, load_processor
from lalm.prompts import Prompt, audio_token_id
from lalm.vllm.engine import VllmEngine
from lalm.vllm.environment import installed_version
from lalm.vllm.fleet import Fleet
from lalm.vllm.opening import open_vllm, vocab_size
from lalm.vllm.remote import HttpReplica
from lalm.vllm.server import free_port, served_name

Kind = Literal["vllm", "vllm-server"]
KINDS: tuple[Kind, ...] = ("vllm", "vllm-server")
KEY_VARIABLE, KEY = "SIMULSA_TEST_VLLM_KEY", "the key of the tests"
"""Every real server of the tests has a key, so that all that is asked of it goes through one."""


def require_vllm() -> None:
    """Skip where vLLM cannot be or is not installed; in CI (CI=true) a missing vLLM is a failure."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip(f"vLLM for CPU is built for Linux x86-64, this is {sys.platform} {platform.machine()}")
    if installed_version() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("vLLM is not installed, but CI must test it: run `make vllm` first")
        pytest.skip("vLLM is not installed: `make vllm` adds it")


class RealEngines:
    """One engine of each kind over one model, opened at first use and kept for the session.

    What vLLM warns of while it is imported and opened is its own affair; when it works, a warning is an error again.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[Kind, Path], VllmEngine] = {}

    def get(self, kind: Kind, model: Path, logs: Path) -> VllmEngine:
        require_vllm()
        if (kind, model) not in self._open:
            config = EngineConfig(kind=kind, max_in_flight=16, api_key_variable=KEY_VARIABLE)
            with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
                patch.setenv(KEY_VARIABLE, KEY)
                patch.setenv("OMP_NUM_THREADS", "1")
                self._open[kind, model] = open_engine(config, model, logs)
        return self._open[kind, model]

    def close(self) -> None:
        while self._open:
            _, engine = self._open.popitem()
            engine.close()


REAL = RealEngines()


def open_engine(config: EngineConfig, model: Path, logs: Path) -> VllmEngine:
    """An engine over the model in a directory, on CPU."""
    settings = ModelConfig(path=str(model), device="cpu")
    info = inspect_model(settings)
    return open_vllm(config, settings, info, load_processor(info, settings), logs=logs)


@contextmanager
def engine_over(
    urls: Sequence[str], loaded: LoadedModel, prompt: Prompt, *, max_in_flight: int = 4, **settings: Any
) -> Iterator[VllmEngine]:
    """An engine over running servers; `settings` are HttpReplica's."""
    model = served_name(loaded.info)
    every = [HttpReplica(url, model=model, stop_ids=prompt.stop_ids, **settings) for url in urls]
    engine = VllmEngine(
        Fleet(every, max_in_flight=max_in_flight, patience_s=120),
        identity={"kind": "vllm"},
        window_samples=loaded.info.window_samples,
        audio_id=audio_token_id(loaded.tokenizer, loaded.info.family),
        vocab_size=vocab_size(loaded.info),
    )
    try:
        yield engine
    finally:
        engine.close()


def random_adapter(model: Path, out: Path, seed: int) -> Path:
    """A LoRA with large random weights on every module that fine-tuning adapts, written by PEFT itself."""
    loaded = load_model(ModelConfig(path=str(model), device="cpu"))
    targets = loaded.info.family.lora_target_regex()
    wrapper = get_peft_model(loaded.model, LoraConfig(r=8, target_modules=targets))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in wrapper.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    wrapper.save_pretrained(out)
    return out


class ReplicaProcess:
    """A stand-in server in a process of its own; it can be killed and started again on the same port."""

    def __init__(self, model: Path, *, api_key: str | None = None) -> None:
        self.port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = served_name(inspect_model(ModelConfig(path=str(model), device="cpu")))
        flags = ["--model", str(model), "--served-model-name", self.name, "--port", str(self.port)]
        self._command = [sys.executable, "-m", "tests.support.replica_server", *flags]
        self._environment = (
            os.environ | {"OMP_NUM_THREADS": "1"} | ({"VLLM_API_KEY": api_key} if api_key else {})
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns at once."""
        self._process = subprocess.Popen(self._command, env=self._environment)

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.is_healthy():
            assert self._process is not None
            assert self._process.poll() is None, "the stand-in server ended while it started"
            assert time.monotonic() < deadline, "the stand-in server is not ready"
            time.sleep(0.05)

    def is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=1.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def set_faults(self, **faults: float) -> None:
        """Set what goes wrong from now on; without arguments, nothing does."""
        httpx.post(f"{self.url}/faults", json=faults, trust_env=False).raise_for_status()

    @property
    def answered(self) -> int:
        """How many questions reached the model; asking ends every fault."""
        value: dict[str, Any] = httpx.post(f"{self.url}/faults", json={}, trust_env=False).json()
        return int(value["answered"])

    def kill(self) -> None:
        """SIGKILL, and nothing else of it remains."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@contextmanager
def replicas(count: int, model: Path, *, api_key: str | None = None) -> Iterator[list[ReplicaProcess]]:
    """Ready stand-in servers, started side by side and killed at the end."""
    servers = [ReplicaProcess(model, api_key=api_key) for _ in range(count)]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait_until_ready()
        yield servers
    finally:
        for server in servers:
            server.kill()
