"""`simulsa serve`: one supervised vLLM server for the configured model, checked before it is announced.

Runs that set engine.urls to it use it; it ends with this command.
"""

from __future__ import annotations

import ipaddress
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from flows.config import ConfigError, RunConfig
from flows.demo_inputs import resolve_model
from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import ModelConfig, ModelInfo, inspect_model, load_processor
from lalm.prompts import Prompt, audio_token_id, build_prompt
from lalm.vllm.canary import check_engine
from lalm.vllm.engine import VllmEngine
from lalm.vllm.fleet import Fleet
from lalm.vllm.opening import api_key, vocab_size
from lalm.vllm.remote import HttpReplica, adapter_name
from lalm.vllm.server import Server, ServerCommand, served_name, server_command

MAX_RESTARTS = 5
"""In a row: a server that worked for STEADY_S has them all again."""
STEADY_S = 600.0
FIRST_WAIT_S = 1.0
WATCH_S = 0.5
CANARY_PATIENCE_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What is served, and how: all that a server of it, here or elsewhere, has in common."""

    model: ModelConfig
    engine: EngineConfig
    info: ModelInfo
    adapters: dict[str, Path]
    host: str
    port: int

    @property
    def command(self) -> ServerCommand:
        """The server on this machine; downloads a Hub model that is not here yet."""
        return server_command(self.engine, self.model, self.info).with_adapters(self.adapters)

    @property
    def command_elsewhere(self) -> ServerCommand:
        """The server on another machine: nothing is downloaded here, and a GPU need not be here either."""
        directory = self.info.directory or Path(self.info.name)
        device = torch.device("cuda") if self.model.device == "cuda" else None
        command = server_command(self.engine, self.model, self.info, directory=directory, device=device)
        return command.with_adapters(self.adapters)


def describe_serving(config: RunConfig, *, host: str, port: int, adapters: Sequence[Path]) -> Serving:
    """What would be served; raises ModelError for a model or an adapter that cannot be."""
    if not 0 < port < 65_536:
        raise ConfigError(f"--port is {port}: a port is a number from 1 to 65535, e.g. 8000")
    resolved = resolve_model(config)
    return Serving(
        model=resolved.model,
        engine=resolved.engine,
        info=inspect_model(resolved.model),
        adapters={adapter_name(path): path.absolute() for path in adapters},
        host=host,
        port=port,
    )


def describe_command(serving: Serving) -> dict[str, Any]:
    """The command that starts the same server anywhere, and what must be the same there."""
    command = serving.command_elsewhere
    return {
        "command": command.for_people(serving.host, serving.port),
        "model": command.model,
        "notes": _notes(serving),
    }


def serve(serving: Serving, *, log: Path, ready: Callable[[dict[str, Any]], None], say: Say) -> None:
    """Serve until interrupted; `ready` is told once what is served, `say` what happens.

    A server that dies is started again, at most MAX_RESTARTS times in a row; then EngineError. However this ends,
    nothing of the server is left.
    """
    key = api_key(serving.engine)
    if key is None and not _is_loopback(serving.host):
        say(
            f"warning: {serving.host} can be reached from other machines and there is no API key: whoever reaches the "
            f"port uses this model. Set the environment variable {serving.engine.api_key_variable}, here and for runs"
        )
    server = Server(serving.command, log=log, host=serving.host, port=serving.port, api_key=key)
    try:
        _start(server, serving, say)
        ready(_announcement(server, serving))
        _watch(server, serving, say)
    finally:
        server.stop()


def _start(server: Server, serving: Serving, say: Say) -> None:
    say(f"starting vLLM with {serving.info.name} (log: {server.log})")
    server.start(serving.engine.startup_timeout_s, _Progress(say))
    processor = load_processor(serving.info, serving.model)
    prompt = build_prompt(processor, serving.model, "en", "de")
    engine = _client(server, serving, processor.tokenizer, prompt)
    try:
        for name, path in {"the base model": None, **serving.adapters}.items():
            say(f"asking a canary: {name}")
            check_engine(engine, prompt, adapter=path)
    finally:
        engine.close()


def _client(server: Server, serving: Serving, tokenizer: Any, prompt: Prompt) -> VllmEngine:
    """An engine over the server, as runs open one."""
    replica = HttpReplica(
        server.url,
        model=served_name(serving.info),
        stop_ids=prompt.stop_ids,
        api_key=api_key(serving.engine),
        timeout_s=serving.engine.request_timeout_s,
    )
    return VllmEngine(
        Fleet([replica], max_in_flight=1, patience_s=CANARY_PATIENCE_S, name="canary"),
        identity={"kind": "vllm", "model": serving.info.digest},
        window_samples=serving.info.window_samples,
        audio_id=audio_token_id(tokenizer, serving.info.family),
        vocab_size=vocab_size(serving.info),
    )


def _watch(server: Server, serving: Serving, say: Say) -> None:
    """Return never: wait for the server to die, start it again."""
    restarts, since = 0, time.monotonic()
    while True:
        while server.pid is not None:
            time.sleep(WATCH_S)
        if time.monotonic() - since > STEADY_S:
            restarts = 0
        restarts = _start_again(server, serving, say, restarts)
        since = time.monotonic()


def _start_again(server: Server, serving: Serving, say: Say, restarts: int) -> int:
    """The number of restarts so far, when one more has worked; EngineError when none may follow."""
    while restarts < MAX_RESTARTS:
        wait_s = FIRST_WAIT_S * 2**restarts
        restarts += 1
        say(f"the server died; starting it again in {wait_s:.0f} s ({restarts} of {MAX_RESTARTS})")
        time.sleep(wait_s)
        try:
            _start(server, serving, say)
        except EngineError as error:
            say(str(error))
        else:
            say(f"serving again at {server.url}")
            return restarts
    raise EngineError(
        f"the vLLM server died {restarts + 1} times in a row and is not started again: its log {server.log} says why"
    )


def _announcement(server: Server, serving: Serving) -> dict[str, Any]:
    elsewhere = describe_command(serving)
    return {
        "url": server.url,
        "model": elsewhere["model"],
        "adapters": {name: str(path) for name, path in serving.adapters.items()},
        "settings": f"--set engine.kind=vllm-server --set 'engine.urls=[{server.url}]'",
        "command": elsewhere["command"],
        "notes": elsewhere["notes"],
        "log": str(server.log),
    }


def _notes(serving: Serving) -> list[str]:
    where = "--model is the model's directory on that machine, with the very same files"
    if serving.info.directory is None:
        where = (
            f"--model is where `hf download {serving.info.name} --revision {serving.info.digest}` says that it "
            "put the model on that machine"
        )
    notes = [
        where,
        "simulsa must be installed there too, in the environment of vLLM: it brings the model class",
    ]
    if serving.adapters:
        notes.append("--lora-modules name the adapters' directories on that machine")
    if api_key(serving.engine) is not None:
        notes.append("export VLLM_API_KEY there: the same key, which is never printed")
    return notes


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Progress:
    """Says every few seconds how long a start has taken."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._next_s = 5.0

    def __call__(self, seconds: float) -> None:
        if seconds >= self._next_s:
            self._say(f"loading the model, {seconds:.0f} s")
            self._next_s = seconds + 5.0


def say_on_stderr(line: str) -> None:
    """One line of progress."""
    print(f"  {line}", file=sys.stderr, flush=True)
