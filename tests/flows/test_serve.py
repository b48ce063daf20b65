"""`simulsa serve` announces a server only when it answers, keeps it alive, and leaves nothing of it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flows import serve as serve_module
from flows.commands import serve as serve_command  # noqa: F401 - importing registers the command
from flows.commands.common import app
from flows.config import ConfigError, load_config
from flows.serve import Serving, describe_serving, serve
from lalm.engine import AudioClip, GenerateRequest, Generation
from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import ModelConfig, inspect_model, load_model
from lalm.prompts import build_prompt
from lalm.transformers_engine import TransformersEngine
from lalm.vllm import server as server_module
from lalm.vllm.remote import adapter_name
from lalm.vllm.server import free_port, served_name
from tests.support.micro import random_micro_lalm, random_waveform
from tests.support.vllm import open_engine, random_adapter, require_vllm

RUN_CLI = "from flows.commands import serve; from flows.cli import main; main()"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_micro_lalm(tmp_path_factory.mktemp("serve") / "micro")


@pytest.fixture(scope="module")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_adapter(model, tmp_path_factory.mktemp("adapters") / "tuned", seed=1)


@pytest.fixture
def config(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(
        f"name: mine\noutputs: {tmp_path}/outputs\nmodel: {{path: {model}, device: cpu}}\n"
        f"corpus: {{name: c, layout: covost2, root: {tmp_path}, src_lang: en, tgt_lang: de}}\n"
        "engine: {startup_timeout_s: 120, api_key_variable: SIMULSA_TEST_SERVE_KEY}\n"
    )
    return path


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's place taken by the stand-in: same flags, same paths."""
    monkeypatch.setattr(server_module, "MODULE", "tests.support.replica_server")
    monkeypatch.setattr(server_module, "require_vllm", lambda kind: "0")
    monkeypatch.setattr(serve_module, "FIRST_WAIT_S", 0.01)


def serving_of(config: Path, *, host: str = "127.0.0.1", adapters: tuple[Path, ...] = ()) -> Serving:
    return describe_serving(
        load_config(str(config)), host=host, port=free_port("127.0.0.1"), adapters=adapters
    )


def served_processes() -> list[psutil.Process]:
    """The servers below this process, without their guardians."""
    below = psutil.Process().children(recursive=True)
    return [
        p
        for p in below
        if "tests.support.replica_server" in p.cmdline() and "lalm.vllm.guardian" not in p.cmdline()
    ]


def test_print_gives_the_command_alone_and_needs_no_vllm(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: Path,
    model: Path,
    adapter: Path,
) -> None:
    monkeypatch.setattr("lalm.vllm.environment.installed_version", lambda: None)
    monkeypatch.setenv("SIMULSA_TEST_SERVE_KEY", "a-secret")
    app(
        ["serve", str(config), "--port", "8123", "--adapter", str(adapter), "--print"],
        result_action="return_value",
    )
    out, err = capsys.readouterr()
    words = shlex.split(out)
    name = served_name(inspect_model(ModelConfig(path=str(model))))
    assert words[words.index("--served-model-name") + 1] == name
    assert json.loads(words[words.index("--lora-modules") + 1])["name"] == adapter_name(adapter)
    assert words[-2:] == ["--port", "8123"]
    assert "on that machine, with the very same files" in err
    assert "a-secret" not in out + err


def test_the_command_for_a_gpu_machine_is_printed_where_there_is_no_gpu(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    more = ["--set", "model.device=cuda", "--set", "engine.tensor_parallel_size=2"]
    app(["serve", str(config), *more, "--print", "--json"], result_action="return_value")
    command = json.loads(capsys.readouterr().out)["command"]
    assert "--tensor-parallel-size 2" in command
    assert "VLLM_CPU" not in command


@pytest.mark.parametrize("port", [0, -1, 70_000])
def test_a_port_that_is_none_is_refused(config: Path, port: int) -> None:
    with pytest.raises(ConfigError, match=rf"--port is {port}"):
        describe_serving(load_config(str(config)), host="127.0.0.1", port=port, adapters=())


class Interrupt:
    """Says into a list, and is the Ctrl-C when a line says so."""

    def __init__(self, when: str) -> None:
        self.lines: list[str] = []
        self._when = when

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self._when in line:
            raise KeyboardInterrupt


def run(serving: Serving, tmp_path: Path, say: Interrupt, ready: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        serve(serving, log=tmp_path / "log", ready=ready, say=say)
    assert served_processes() == []


@pytest.mark.slow
@pytest.mark.usefixtures("stand_in")
def test_a_server_that_dies_is_started_again_with_its_adapters(
    config: Path, adapter: Path, tmp_path: Path
) -> None:
    announced: list[dict[str, Any]] = []

    def ready(announcement: dict[str, Any]) -> None:
        announced.append(announcement)
        (process,) = served_processes()
        process.kill()

    serving = serving_of(config, adapters=(adapter,))
    say = Interrupt("serving again")
    run(serving, tmp_path, say, ready)
    assert [announcement["url"] for announcement in announced] == [f"http://127.0.0.1:{serving.port}"]
    canaries = [line for line in say.lines if "canary" in line]
    assert len(canaries) == 4, "base and adapter, before and after"
    assert adapter_name(adapter) in canaries[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("stand_in")
def test_a_server_that_always_dies_is_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch, config: Path, tmp_path: Path
) -> None:
    def ready(announcement: dict[str, Any]) -> None:
        monkeypatch.setattr(server_module, "MODULE", "tests.support.no_such_server")
        (process,) = served_processes()
        process.kill()

    lines: list[str] = []
    with pytest.raises(EngineError, match=r"died 6 times in a row"):
        serve(serving_of(config), log=tmp_path / "log", ready=ready, say=lines.append)
    assert [line for line in lines if "(5 of 5)" in line]
    assert any("No module named" in line for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("key", [None, "a-secret"])
def test_an_open_port_without_a_key_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, config: Path, tmp_path: Path, key: str | None
) -> None:
    if key:
        monkeypatch.setenv("SIMULSA_TEST_SERVE_KEY", key)
    say = Interrupt("asking a canary" if key else "starting vLLM")
    run(serving_of(config, host="0.0.0.0"), tmp_path, say, lambda _: None)
    warnings = [line for line in say.lines if "SIMULSA_TEST_SERVE_KEY" in line]
    assert bool(warnings) == (key is None)


@pytest.mark.slow
def test_what_is_served_is_what_a_run_needs(config: Path, model: Path, adapter: Path, tmp_path: Path) -> None:
    require_vllm()
    port = free_port("127.0.0.1")
    command = [
        sys.executable,
        "-c",
        RUN_CLI,
        "serve",
        str(config),
        "--port",
        str(port),
        "--adapter",
        str(adapter),
        "--json",
    ]
    environment = os.environ | {"SIMULSA_TEST_SERVE_KEY": "a-secret", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        announced = json.loads(process.stdout.readline())
        said, expected = _answers(announced, model, adapter, tmp_path)
        below = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert said == expected
    assert process.returncode == 143
    assert len(below) >= 2
    assert not any(child.is_running() for child in below)
    assert out == "", "one JSON object and nothing else"
    assert "a-secret" not in json.dumps(announced) + err + Path(announced["log"]).read_text()


def _answers(
    announced: dict[str, Any], model: Path, adapter: Path, tmp_path: Path
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the announced server says under its adapter, asked as a run is told to, and what it must say."""
    overrides = [word for word in shlex.split(announced["settings"]) if word != "--set"]
    settings = {
        key.removeprefix("engine."): yaml.safe_load(value)
        for key, value in (o.split("=", 1) for o in overrides)
    }
    os.environ["SIMULSA_TEST_SERVE_KEY"] = "a-secret"
    loaded = load_model(ModelConfig(path=str(model), device="cpu"))
    request = GenerateRequest(
        request_id="r",
        prompt_ids=build_prompt(loaded, ModelConfig(path=str(model)), "en", "de").ids,
        audio=AudioClip(key="a", waveform=random_waveform(3, 20_000)),
        max_new_tokens=12,
    )
    engine = open_engine(EngineConfig(api_key_variable="SIMULSA_TEST_SERVE_KEY", **settings), model, tmp_path)
    try:
        (said,) = dict(engine.generate([request], adapter=adapter)).values()
    finally:
        engine.close()
        del os.environ["SIMULSA_TEST_SERVE_KEY"]
    (expected,) = dict(TransformersEngine(loaded).generate([request], adapter=adapter)).values()
    assert isinstance(said, Generation)
    assert isinstance(expected, Generation)
    return said.token_ids, expected.token_ids
