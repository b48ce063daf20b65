"""A vLLM server as a replica: exact token ids over `/inference/v1/generate`, one HTTP request per question.

Retries and choice of replica are the fleet's; this module only says what a response means. An API key goes into a
header and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
from numpy.typing import NDArray

from lalm.adapters import adapter_digest
from lalm.batching import answer_ids
from lalm.engine import Answer, AnyRequest, GenerateRequest
from lalm.errors import EngineError
from lalm.loading import SAMPLE_RATE_HZ
from lalm.vllm.answers import Candidates, generation, refusal, sampling_parameters, score
from lalm.vllm.replica import BusyError, ReplicaError

GENERATE_PATH = "/inference/v1/generate"
HEALTH_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 10.0
BUSY_WAIT_S = 1.0
OF_THE_REQUEST = frozenset({400, 413, 422})
"""What is wrong with one request; every other refusal is of the server, its address or its key."""
OF_THE_SERVER = {401: "the API key is wrong or missing", 403: "the API key may not do this"}


class HttpReplica:
    """One base URL. `model` is the name it serves the base model under; adapters are loaded by path at first use."""

    def __init__(
        self,
        url: str,
        *,
        model: str,
        stop_ids: tuple[int, ...],
        api_key: str | None = None,
        timeout_s: float = 600.0,
        max_in_flight: int = 64,
    ) -> None:
        self.name = url
        self._model = model
        self._stop_ids = stop_ids
        self._adapters: dict[str, asyncio.Task[None]] = {}
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S, pool=None),
            # A connection per request: a kept one that uvicorn closes (after 5 idle seconds, after any 500) looks like
            # a death to the next request on it.
            limits=httpx.Limits(max_connections=max_in_flight + 4, max_keepalive_connections=0),
            trust_env=False,
        )

    async def answer(self, request: AnyRequest, adapter: Path | None) -> Answer:
        """Answer one request; raises what the fleet understands."""
        response = await self._ask(request, adapter)
        if response.status_code == httpx.codes.NOT_FOUND and adapter is not None:
            # The server was started again since the adapter was loaded.
            self._adapters.pop(adapter_name(adapter), None)
            response = await self._ask(request, adapter)
        if response.is_success:
            return self._read(request, response)
        if response.status_code in OF_THE_REQUEST:
            return refusal(request, _message(response))
        raise EngineError(
            f"{self.name}{GENERATE_PATH} answers {response.status_code} ({_message(response)}): serve this very model "
            "with --enable-scale-out, or let `simulsa serve CONFIG` start the server"
        )

    async def _ask(self, request: AnyRequest, adapter: Path | None) -> httpx.Response:
        body = {
            "model": self._model if adapter is None else await self._adapter(adapter),
            "token_ids": [*request.prompt_ids, *answer_ids(request)],
            "content_parts": [{"type": "audio_url", "url": audio_url(request.audio.waveform)}],
            "sampling_params": sampling_parameters(request, self._stop_ids),
        }
        return await self._send("POST", GENERATE_PATH, body)

    async def healthy(self) -> bool:
        """Whether `/health` answers 200."""
        try:
            response = await self._client.get("/health", timeout=HEALTH_TIMEOUT_S)
        except httpx.HTTPError:
            return False
        return response.status_code == httpx.codes.OK

    async def revive(self) -> None:
        """Nothing but patience: a server that we did not start is not ours to start again."""
        self.forget_adapters()

    async def close(self) -> None:
        """Close the connections; the server goes on."""
        for task in self._adapters.values():
            task.cancel()
        await asyncio.gather(*self._adapters.values(), return_exceptions=True)
        await self._client.aclose()

    async def get(self, path: str) -> dict[str, Any]:
        """A JSON object that the server tells of itself; raises like `answer`."""
        response = await self._send("GET", path, None)
        if not response.is_success:
            raise EngineError(f"{self.name}{path} answers {response.status_code}: {_message(response)}")
        value: dict[str, Any] = response.json()
        return value

    def forget_adapters(self) -> None:
        """A server that was started again has none loaded."""
        self._adapters.clear()

    async def _adapter(self, path: Path) -> str:
        """The name under which the adapter is served, loaded at first use; once, however many ask at the same time."""
        name = adapter_name(path)
        task = self._adapters.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._adapters[name] = asyncio.create_task(self._load_adapter(name, path))
        await asyncio.shield(task)
        return name

    async def _load_adapter(self, name: str, path: Path) -> None:
        served = {entry["id"] for entry in (await self.get("/v1/models"))["data"]}
        if name in served:
            return
        body = {"lora_name": name, "lora_path": str(path.absolute())}
        response = await self._send("POST", "/v1/load_lora_adapter", body)
        if not response.is_success and "already been loaded" not in response.text:
            raise EngineError(
                f"{self.name} does not serve adapter {name} and will not load it ({_message(response)}): start it with "
                f"`simulsa serve CONFIG --adapter {path}`, where that directory is"
            )

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        """Success, or a refusal that its caller understands; overload, failures and wrong keys are raised."""
        try:
            response = await self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            message = f"{self.name}: {type(error).__name__} {error}".rstrip()
            reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise ReplicaError(message, lost=True, reached=reached) from error
        status = response.status_code
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise BusyError(_retry_after_s(response))
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.REQUEST_TIMEOUT:
            raise ReplicaError(f"{self.name}: {status} {_message(response)}", lost=False)
        if status in OF_THE_SERVER:
            raise EngineError(
                f"{self.name} answers {status}: {OF_THE_SERVER[status]}; the key is read from the environment variable "
                "that engine.api_key_variable names"
            )
        return response

    def _read(self, request: AnyRequest, response: httpx.Response) -> Answer:
        try:
            value = response.json()
            choice = value["choices"][0]
            if isinstance(request, GenerateRequest):
                positions = [_candidates(p["top_logprobs"]) for p in choice["logprobs"]["content"]]
                return generation(choice["token_ids"], positions, self._stop_ids)
            prompt = value["prompt_logprobs"][-len(request.continuation_ids) :]
            return score(request.continuation_ids, [_prompt_candidates(position) for position in prompt])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise EngineError(
                f"{self.name}{GENERATE_PATH} gave no token ids with log-probabilities ({error!r}); "
                "its vLLM must be 0.32 or a version that speaks the same protocol"
            ) from error


def adapter_name(path: Path) -> str:
    """The name an adapter is served under: by content, so that two directories never share one by accident."""
    return f"adapter-{adapter_digest(path)[:16]}"


def audio_url(waveform: NDArray[np.float32]) -> str:
    """A 16 kHz mono WAV as a data URL; 16-bit where that loses nothing, which is true of what corpora hold."""
    scaled = waveform * 32768
    exact = bool((scaled == np.round(scaled)).all() and np.abs(scaled).max(initial=0) <= 32767)
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16" if exact else "FLOAT")
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _candidates(entries: list[dict[str, Any]]) -> Candidates:
    return {int(entry["token_id"]): (float(entry["logprob"]), int(entry["rank"] or 0)) for entry in entries}


def _prompt_candidates(position: dict[str, dict[str, Any]]) -> Candidates:
    return {int(token): (float(entry["logprob"]), int(entry["rank"])) for token, entry in position.items()}


def _message(response: httpx.Response) -> str:
    """What the server said, cut short: the whole body may echo a request."""
    try:
        value = response.json()
        return str(value.get("error", value).get("message", value))[:300]
    except (ValueError, AttributeError):
        return response.text[:300]


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(60.0, max(0.0, float(response.headers["Retry-After"])))
    except (KeyError, ValueError):
        return BUSY_WAIT_S
