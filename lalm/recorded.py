"""An engine whose answers survive a kill: what the journal holds is read back, only the rest is asked.

A record is keyed by everything that decides the answer, so it serves any run that asks the same. Failures are not
recorded: those that would come again cost nothing to find again, and the others deserve another try.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

from lalm.adapters import adapter_digest
from lalm.attention import Attention, Layers, attentive
from lalm.batching import Request, answer_ids
from lalm.engine import Engine, Failure, GenerateRequest, Generation, Journal, Score, ScoreRequest

RECORD_VERSION = 1
FLUSH_EVERY_S = 1.0
FLUSH_EVERY_RECORDS = 256

Result = TypeVar("Result", Generation, Score)


class RecordedEngine:
    """An `Engine` over another and a journal; identical requests within one call are asked once.

    Threads may ask at the same time where the inner engine allows it.
    `replayed` counts requests answered from the journal, `issued` those that the inner engine was asked.
    """

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._identity = dict(engine.identity)
        self._unflushed = 0
        self._flushed_at = time.monotonic()
        self._lock = threading.Lock()
        self.issued = 0
        self.replayed = 0

    @property
    def identity(self) -> dict[str, str]:
        """The inner engine's: recording changes no result."""
        return dict(self._identity)

    @property
    def window_samples(self) -> int:
        """The inner engine's."""
        return self._engine.window_samples

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Generation | Failure]]:
        """`generate` of the inner engine for the requests that have no record."""
        return self._run("generate", requests, adapter, self._engine.generate, _generation)

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Score | Failure]]:
        """`score` of the inner engine for the requests that have no record."""
        return self._run("score", requests, adapter, self._engine.score, _score)

    def attend(
        self, requests: Iterable[ScoreRequest], *, layers: Layers = (), adapter: Path | None = None
    ) -> Iterator[tuple[str, Attention | Failure]]:
        """`attend` of the inner engine, never recorded: a matrix is larger than the audio it is about."""
        return attentive(self._engine).attend(requests, layers=layers, adapter=adapter)

    def close(self) -> None:
        """Flush the journal and close the inner engine."""
        self._flush()
        self._engine.close()

    def _run(
        self,
        verb: Literal["generate", "score"],
        requests: Iterable[Request],
        adapter: Path | None,
        ask: Callable[..., Iterator[tuple[str, Result | Failure]]],
        restore: Callable[[dict[str, Any]], Result],
    ) -> Iterator[tuple[str, Result | Failure]]:
        digest = None if adapter is None else adapter_digest(adapter)
        replayed: list[tuple[str, Result]] = []
        waiting: dict[str, list[str]] = {}  # key -> ids of the requests that wait for this answer
        key_of: dict[str, str] = {}  # id of the request that was issued -> key

        def missing() -> Iterator[Request]:
            for request in requests:
                key = request_key(verb, self._identity, digest, request)
                record = self._journal.get(key)
                if record is not None:
                    replayed.append((request.request_id, restore(record)))
                elif key in waiting:
                    waiting[key].append(request.request_id)
                else:
                    waiting[key] = [request.request_id]
                    key_of[request.request_id] = key
                    self._count(issued=1)
                    yield request

        try:
            for request_id, result in ask(missing(), adapter=adapter):
                key = key_of.pop(request_id)
                if not isinstance(result, Failure):
                    self._put(key, asdict(result))
                for waiter in waiting.pop(key):
                    yield waiter, result
                yield from self._drain(replayed)
            yield from self._drain(replayed)
        finally:
            self._flush()

    def _drain(self, replayed: list[tuple[str, Result]]) -> Iterator[tuple[str, Result]]:
        self._count(replayed=len(replayed))
        ready, replayed[:] = list(replayed), []
        yield from ready

    def _count(self, issued: int = 0, replayed: int = 0) -> None:
        with self._lock:
            self.issued += issued
            self.replayed += replayed

    def _put(self, key: str, record: dict[str, object]) -> None:
        self._journal.put(key, record)
        with self._lock:
            self._unflushed += 1
            late = time.monotonic() - self._flushed_at >= FLUSH_EVERY_S
            due = late or self._unflushed >= FLUSH_EVERY_RECORDS
        if due:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            unflushed, self._unflushed = self._unflushed, 0
            self._flushed_at = time.monotonic()
        if unflushed:
            self._journal.flush()


def request_key(
    verb: Literal["generate", "score"],
    identity: dict[str, str],
    adapter: str | None,
    request: GenerateRequest | ScoreRequest,
) -> str:
    """sha256 of the canonical JSON of everything that decides an answer; the request's own id is not part of it."""
    content = {
        "version": RECORD_VERSION,
        "verb": verb,
        "engine": identity,
        "adapter": adapter,
        "audio": request.audio.key,
        "prompt": list(request.prompt_ids),
        "answer": list(answer_ids(request)),
        "max_new_tokens": request.max_new_tokens if isinstance(request, GenerateRequest) else None,
        "alone": request.alone,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _generation(record: dict[str, Any]) -> Generation:
    return Generation(
        token_ids=tuple(record["token_ids"]), finish=record["finish"], min_margin=record["min_margin"]
    )


def _score(record: dict[str, Any]) -> Score:
    return Score(
        logprobs=tuple(record["logprobs"]),
        ranks=tuple(record["ranks"]),
        rival_logprobs=tuple(record["rival_logprobs"]),
    )
