"""Hub models against a server on loopback that answers as the Hub does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from lalm.errors import ModelError
from lalm.loading import ModelConfig, inspect_model, load_model, load_processor
from lalm.prompts import build_prompt

COMMIT = "a" * 40
REPO = "toy/micro"
API = f"/api/models/{REPO}"


class TinyHub(ThreadingHTTPServer):
    """One public model repository with one commit on `main`; `served` lists the files it handed out.

    A path that holds `ill` is answered with 503.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.served: list[str] = []
        self.commit = COMMIT
        self.ill: str | None = None


class _Handler(BaseHTTPRequestHandler):
    server: TinyHub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = urlsplit(self.path).path
        if self.server.ill and self.server.ill in path:
            return self._send(503, b"", {})
        revisions = ("main", self.server.commit)
        if path in (API, *(f"{API}/revision/{revision}" for revision in revisions)):
            siblings = [{"rfilename": name} for name in self.server.files]
            return self._json({"id": REPO, "sha": self.server.commit, "siblings": siblings})
        if path.startswith(f"{API}/revision/"):
            return self._error("RevisionNotFound")
        if path == f"{API}/tree/{self.server.commit}":
            return self._json([_tree_entry(name, body) for name, body in self.server.files.items()])
        if path.startswith(f"/{REPO}/resolve/"):
            revision, name = path.removeprefix(f"/{REPO}/resolve/").split("/", 1)
            if revision not in revisions:
                return self._error("RevisionNotFound")
            return self._file(name, with_body) if name in self.server.files else self._error("EntryNotFound")
        return self._error("RepoNotFound")

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, code: str) -> None:
        self._send(404, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _file(self, name: str, with_body: bool) -> None:
        body = self.server.files[name]
        if with_body:
            self.server.served.append(name)
        self._send(200, body, {"ETag": f'"{_oid(body)}"', "X-Repo-Commit": self.server.commit}, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


def _oid(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


def _tree_entry(name: str, body: bytes) -> dict[str, object]:
    return {"type": "file", "oid": _oid(body), "size": len(body), "path": name}


@pytest.fixture
def hub(micro_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyHub]:
    files = {path.name: path.read_bytes() for path in micro_dir.iterdir()}
    server = TinyHub(files | {"pytorch_model.bin": b"pickle", "README.md": b"a card", "logs/x.json": b"{}"})
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


CONFIG = ModelConfig(path=REPO, device="cpu")


def test_a_branch_is_resolved_to_its_commit_and_only_the_config_is_fetched(hub: TinyHub) -> None:
    info = inspect_model(CONFIG.model_copy(update={"revision": "main"}))
    assert info.digest == COMMIT
    assert info.window_samples == 64_000
    assert hub.served == ["config.json"]


def test_prompts_need_no_weights(hub: TinyHub) -> None:
    processor = load_processor(inspect_model(CONFIG), CONFIG)
    assert len(build_prompt(processor, CONFIG, "en", "de").ids) > 10
    assert "model.safetensors" not in hub.served


def test_loading_never_fetches_a_pickle_nor_what_the_model_does_not_need(hub: TinyHub) -> None:
    assert load_model(CONFIG).info.digest == COMMIT
    assert "model.safetensors" in hub.served
    assert not {"pytorch_model.bin", "README.md", "logs/x.json"} & set(hub.served)


def test_a_downloaded_model_is_found_again_offline(hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
    online = load_model(CONFIG).info
    served = list(hub.served)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert inspect_model(CONFIG) == online
    assert hub.served == served


def test_a_repository_with_pickles_only_is_refused_before_any_weights(hub: TinyHub) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*only safetensors"):
        inspect_model(CONFIG)
    assert hub.served == ["config.json"]


def test_a_repository_without_config_is_refused(hub: TinyHub) -> None:
    del hub.files["config.json"]
    with pytest.raises(ModelError, match=r"(?s)lacks a file.*config\.json"):
        inspect_model(CONFIG)


def test_an_unknown_revision_is_named(hub: TinyHub) -> None:
    with pytest.raises(ModelError, match=r"toy/micro@v9 has no such revision.*model\.revision"):
        inspect_model(CONFIG.model_copy(update={"revision": "v9"}))


def test_an_unknown_repository_may_be_a_misspelt_directory(hub: TinyHub) -> None:
    with pytest.raises(ModelError, match="neither a local directory nor a Hub model"):
        inspect_model(ModelConfig(path="toy/nothing"))


def test_a_hub_that_stops_answering_is_named_with_the_way_out(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"did not answer \(ConnectError.*HF_HUB_OFFLINE=1"):
        inspect_model(CONFIG)


@pytest.mark.parametrize(
    ("ill", "says"),
    [("/api/", "did not answer"), (f"/{REPO}/resolve/", "b{40} on the Hub but a{40} in the cache")],
)
def test_a_stale_snapshot_is_never_taken_for_what_a_branch_names_now(
    hub: TinyHub, ill: str, says: str
) -> None:
    inspect_model(CONFIG)
    hub.commit = "b" * 40
    hub.ill = ill

    with pytest.raises(ModelError, match=says):
        inspect_model(CONFIG)


@pytest.mark.parametrize(
    ("ill", "says"), [("/tree/", "not whole in the cache"), (f"/{REPO}/resolve/", "cannot be reached")]
)
def test_a_part_of_a_snapshot_is_never_taken_for_the_whole(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch, ill: str, says: str
) -> None:
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None))
    info = inspect_model(CONFIG)  # leaves config.json in the cache
    hub.ill = ill

    with pytest.raises(ModelError, match=says):
        load_processor(info, CONFIG)


def test_an_adapter_in_a_folder_of_its_own_comes_along_and_other_folders_do_not(hub: TinyHub) -> None:
    hub.files["speech-lora/adapter_config.json"] = b"{}"
    hub.files["checkpoint-1/model.safetensors"] = b"another"

    load_model(CONFIG)

    assert "speech-lora/adapter_config.json" in hub.served
    assert "checkpoint-1/model.safetensors" not in hub.served
