"""Opening an engine fails early, and says which server, model or version is not the one that the run needs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import LoadedModel, ModelConfig
from lalm.vllm.opening import vllm_identity
from lalm.vllm.server import free_port, served_name
from tests.support.vllm import open_engine

VERSION = "0.32.0"


@contextmanager
def server(*, model: str, version: str = VERSION, key: str | None = None) -> Iterator[str]:
    """The URL of a server that says what it is and can do nothing."""
    answers = {"/version": {"version": version}, "/v1/models": {"data": [{"id": model}]}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = key is None or self.headers.get("Authorization") == f"Bearer {key}"
            content = json.dumps(answers[self.path] if allowed else {"error": "Unauthorized"}).encode()
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lalm.vllm.environment.version", lambda name: VERSION)


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("lalm.vllm.environment.version", missing)


def open_urls(micro_dir: Path, tmp_path: Path, *urls: str) -> None:
    open_engine(EngineConfig(kind="vllm-server", urls=urls), micro_dir, tmp_path).close()


@pytest.mark.usefixtures("installed")
def test_a_server_of_another_model_is_named_with_both_models(
    micro_dir: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    with server(model="other@0123") as url, pytest.raises(EngineError) as error:
        open_urls(micro_dir, tmp_path, url)
    assert f"{url} serves other@0123, but this run needs {served_name(loaded.info)}" in str(error.value)


@pytest.mark.usefixtures("installed")
def test_a_server_of_another_version_is_named_with_both_versions(
    micro_dir: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    with (
        server(model=served_name(loaded.info), version="0.31.1") as url,
        pytest.raises(
            EngineError, match=rf"{url} runs vLLM 0\.31\.1, but this run is recorded as vLLM 0\.32\.0"
        ),
    ):
        open_urls(micro_dir, tmp_path, url)


@pytest.mark.usefixtures("not_installed")
def test_every_server_must_run_the_version_of_the_first(
    micro_dir: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    name = served_name(loaded.info)
    with (
        server(model=name) as first,
        server(model=name, version="0.33.0") as second,
        pytest.raises(
            EngineError, match=rf"{second} runs vLLM 0\.33\.0, but this run is recorded as vLLM 0\.32\.0"
        ),
    ):
        open_urls(micro_dir, tmp_path, first, second)


@pytest.mark.usefixtures("installed")
def test_no_server_at_the_address_says_how_to_start_one(micro_dir: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    with pytest.raises(EngineError, match=rf"no vLLM server answers at {url}.*simulsa serve.*engine\.urls"):
        open_urls(micro_dir, tmp_path, url)


@pytest.mark.usefixtures("not_installed")
@pytest.mark.parametrize("kind", ["vllm", "vllm-server"])
def test_a_missing_vllm_says_how_to_install_it(micro_dir: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(EngineError, match=rf"engine\.kind '{kind}' needs vLLM.*make vllm.*engine\.urls"):
        open_engine(EngineConfig(kind=kind), micro_dir, tmp_path)


@pytest.mark.usefixtures("not_installed")
def test_the_identity_over_urls_needs_no_vllm_here_and_sends_the_key(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel
) -> None:
    monkeypatch.setenv("SIMULSA_TEST_KEY", "right")
    with server(model=served_name(loaded.info), version="0.32.7", key="right") as url:
        config = EngineConfig(kind="vllm-server", urls=(url,), api_key_variable="SIMULSA_TEST_KEY")
        identity = vllm_identity(config, ModelConfig(path="unused"), loaded.info)
    assert identity["vllm"] == "0.32.7"
    assert url not in identity.values()
    assert "right" not in identity.values()


@pytest.mark.usefixtures("installed")
def test_a_wrong_key_is_said_without_the_key(
    monkeypatch: pytest.MonkeyPatch, micro_dir: Path, tmp_path: Path, loaded: LoadedModel
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "guessed")
    with (
        server(model=served_name(loaded.info), key="right") as url,
        pytest.raises(EngineError, match="401") as error,
    ):
        open_urls(micro_dir, tmp_path, url)
    assert "guessed" not in str(error.value)
