"""A stand-in for a vLLM server that starts in seconds: the transformers engine behind vLLM 0.32's paths and JSON.

Run as `python -m tests.support.replica_server` with the flags of vLLM's own server (those it does not know are ignored)
and with faults: the process ends when an audio arrives whose digest stands in the environment variable DIE_ON (several
are separated by spaces); POST /faults sets the others while it runs.
`tests/lalm/vllm/test_real_vllm.py` compares its answers with the real server's, key by key.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from augment.audio import pcm_digest
from lalm.engine import AudioClip, Failure, GenerateRequest, Score, ScoreRequest
from lalm.loading import ModelConfig, load_model
from lalm.prompts import audio_token_id
from lalm.transformers_engine import TransformersEngine

VERSION = "0.32.0"
DIE_ON = "SIMULSA_TEST_DIE_ON"
CLOSES_AFTER_S = 0.1
"""After an exception uvicorn closes the connection a moment later; the next request on it is lost."""


class RefusalError(Exception):
    """A request that is answered with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Faults:
    """What goes wrong: everything answers 500 for a time; `busy` questions get 429; `hang` ones no answer.

    A server that lacks the directory of an adapter is one on another machine.
    """

    errors_until: float = 0.0
    busy: int = 0
    hang: int = 0
    lacks_directory: bool = False

    def set(self, wanted: dict[str, float]) -> None:
        self.errors_until = time.monotonic() + wanted.get("errors_s", 0.0)
        self.busy = int(wanted.get("busy", 0))
        self.hang = int(wanted.get("hang", 0))
        self.lacks_directory = bool(wanted.get("lacks_directory"))


@dataclass(slots=True)
class Model:
    """The engine, one question at a time, and the adapters it was given."""

    engine: TransformersEngine
    audio_id: int
    name: str
    adapters: dict[str, Path] = field(default_factory=dict)
    answered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: dict[str, Any], waveform: NDArray[np.float32]) -> dict[str, Any]:
        """The body of a response to /inference/v1/generate."""
        adapter = self._adapter(body["model"])
        params = body["sampling_params"]
        ids = tuple(body["token_ids"])
        audio = AudioClip(key=pcm_digest(waveform), waveform=waveform)
        with self.lock:
            self.answered += 1
            if "prompt_logprobs" in params:
                return self._response(body, prompt_logprobs=self._prompt(ids, audio, adapter))
            return self._response(body, choice=self._choice(ids, audio, adapter, params))

    def names(self) -> list[str]:
        return [self.name, *self.adapters]

    def _adapter(self, name: str) -> Path | None:
        if name not in self.names():
            raise RefusalError(
                404, f"The model `{name}` does not exist. Valid aliases: {', '.join(self.names())}."
            )
        return self.adapters.get(name)

    def _prompt(self, ids: tuple[int, ...], audio: AudioClip, adapter: Path | None) -> list[Any]:
        """One entry per position after the audio; what is before it is null."""
        before, continuation = self._split(ids)
        score = self._score(before, audio, continuation, adapter)
        entries = [
            {str(token): own | {"decoded_token": None}, str(rival): other | {"decoded_token": None}}
            for token, own, rival, other in _candidates(continuation, score)
        ]
        return [*[None] * len(before), *entries]

    def _choice(
        self, ids: tuple[int, ...], audio: AudioClip, adapter: Path | None, params: dict[str, Any]
    ) -> dict[str, Any]:
        request = GenerateRequest(
            request_id="r", prompt_ids=ids, audio=audio, max_new_tokens=params["max_tokens"]
        )
        ((_, said),) = self.engine.generate([request], adapter=adapter)
        if isinstance(said, Failure):
            raise RefusalError(400, said.detail)
        token_ids = said.token_ids
        if said.finish == "stop":
            token_ids += (self._stop_token(ids + token_ids, audio, adapter, params["stop_token_ids"]),)
        before, rest = self._split(ids)
        score = self._score(before, audio, rest + token_ids, adapter)
        content = [
            {
                "token_id": token,
                **own,
                "top_logprobs": [{"token_id": token, **own}, {"token_id": rival, **other}],
            }
            for token, own, rival, other in _candidates(rest + token_ids, score)
        ]
        return {
            "finish_reason": said.finish, "stop_reason": token_ids[-1] if said.finish == "stop" else None,
            "token_ids": list(token_ids), "logprobs": {"content": content[len(rest):]},
        }  # fmt: skip

    def _stop_token(
        self, ids: tuple[int, ...], audio: AudioClip, adapter: Path | None, stop_ids: list[int]
    ) -> int:
        """The stop token that ended the turn: the engine keeps it to itself, its rank gives it away."""
        before, rest = self._split(ids)
        scores = {stop: self._score(before, audio, (*rest, stop), adapter) for stop in stop_ids}
        return min(scores, key=lambda stop: scores[stop].ranks[-1])

    def _score(
        self, before: tuple[int, ...], audio: AudioClip, continuation: tuple[int, ...], adapter: Path | None
    ) -> Score:
        request = ScoreRequest(request_id="r", prompt_ids=before, audio=audio, continuation_ids=continuation)
        ((_, score),) = self.engine.score([request], adapter=adapter)
        if isinstance(score, Failure):
            raise RefusalError(400, score.detail)
        return score

    def _split(self, ids: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        end = ids.index(self.audio_id) + 1
        return ids[:end], ids[end:]

    def _response(
        self, body: dict[str, Any], prompt_logprobs: Any = None, choice: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        answer = choice or {
            "finish_reason": "length",
            "stop_reason": None,
            "token_ids": [0],
            "logprobs": None,
        }
        return {
            "request_id": f"generate-tokens-{self.answered}", "model": body["model"], "created": 0,
            "output_mode": "tokens", "prompt_logprobs": prompt_logprobs, "choices": [{"index": 0, **answer}],
        }  # fmt: skip


def _candidates(ids: tuple[int, ...], score: Score) -> list[tuple[int, dict[str, Any], int, dict[str, Any]]]:
    """Each token with what is said of it, and a rival: its number is made up, as an engine names no rival."""
    return [
        (token, {"logprob": own, "rank": rank}, token ^ 1, {"logprob": rival, "rank": 2 if rank == 1 else 1})
        for token, own, rank, rival in zip(
            ids, score.logprobs, score.ranks, score.rival_logprobs, strict=True
        )
    ]


class Replica(ThreadingHTTPServer):
    """The server; it listens when the model is loaded."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, settings: argparse.Namespace) -> None:
        self.faults = Faults()
        self.api_key = os.environ.get("VLLM_API_KEY")
        self.die_on = frozenset(os.environ.get(DIE_ON, "").split())
        self.model = _load(settings)
        super().__init__((settings.host, settings.port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Replica
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16

    def do_GET(self) -> None:
        self._handle(None)

    def do_POST(self) -> None:
        self._handle(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _handle(self, content: bytes | None) -> None:
        if self.path == "/faults":
            wanted = json.loads(content or b"{}")
            self.server.faults.set(wanted)
            if wanted.get("forget"):
                self.server.model.adapters.clear()
            return self._send(200, {"answered": self.server.model.answered})
        if time.monotonic() < self.server.faults.errors_until:
            self._send(500, _error(500, "an injected fault"))
            self.wfile.flush()
            time.sleep(CLOSES_AFTER_S)
            self.close_connection = True
            return None
        try:
            return self._send(200, self._answer(json.loads(content or b"{}")))
        except RefusalError as refusal:
            if refusal.status == 401:
                return self._send(401, {"error": "Unauthorized"})
            return self._send(refusal.status, _error(refusal.status, str(refusal)))

    def _answer(self, body: dict[str, Any]) -> dict[str, Any] | None:
        model = self.server.model
        if self.path.startswith(("/v1", "/inference")) and not self._is_authorized():
            raise RefusalError(401, "Unauthorized")
        match self.path:
            case "/health":
                return None
            case "/version":
                return {"version": VERSION}
            case "/v1/models":
                return {"object": "list", "data": [{"id": name, "object": "model"} for name in model.names()]}
            case "/v1/load_lora_adapter":
                return self._load_adapter(body)
            case "/inference/v1/generate":
                return self._generate(body)
        raise RefusalError(404, "Not Found")

    def _load_adapter(self, body: dict[str, Any]) -> None:
        path = Path(body["lora_path"])
        if self.server.faults.lacks_directory or not (path / "adapter_config.json").is_file():
            raise RefusalError(404, f"Loading lora {body['lora_name']} failed: No adapter found for <path>")
        self.server.model.adapters[body["lora_name"]] = path

    def _generate(self, body: dict[str, Any]) -> dict[str, Any]:
        faults = self.server.faults
        if faults.busy > 0:
            faults.busy -= 1
            raise RefusalError(429, "Too many requests")
        if faults.hang > 0:
            faults.hang -= 1
            threading.Event().wait()
        (part,) = body["content_parts"]
        waveform = read_audio_url(part["url"])
        if pcm_digest(waveform) in self.server.die_on:
            os._exit(139)
        return self.server.model.answer(body, waveform)

    def _is_authorized(self) -> bool:
        key = self.server.api_key
        return key is None or self.headers.get("Authorization") == f"Bearer {key}"

    def _send(self, status: int, value: dict[str, Any] | None) -> None:
        content = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


def read_audio_url(url: str) -> NDArray[np.float32]:
    """The waveform in a data URL, as vLLM's soundfile backend reads it."""
    waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(url.partition(",")[2])), dtype="float32")
    assert rate == 16_000
    return np.asarray(waveform)


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "Error", "param": None, "code": status}}


def _load(settings: argparse.Namespace) -> Model:
    loaded = load_model(ModelConfig(path=settings.model, device="cpu"))
    modules = [json.loads(module) for module in settings.lora_modules]
    return Model(
        engine=TransformersEngine(loaded, batch_size=1),
        audio_id=audio_token_id(loaded.tokenizer, loaded.info.family),
        name=settings.served_model_name or settings.model,
        adapters={module["name"]: Path(module["path"]) for module in modules},
    )


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lora-modules", nargs="*", default=[])
    settings, _ = parser.parse_known_args()
    Replica(settings).serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
