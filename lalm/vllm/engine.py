"""The `Engine` over a fleet of vLLM replicas: `vllm` has one in this process, `vllm-server` any number over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lalm.batching import Request, refuse
from lalm.engine import (
    Answer,
    AnyRequest,
    Engine,
    Failure,
    GenerateRequest,
    Generation,
    Score,
    ScoreRequest,
)
from lalm.vllm.fleet import Fleet

EMPTY_SCORE = Score(logprobs=(), ranks=(), rival_logprobs=())


class VllmEngine:
    """Bad requests fail before they are sent; the rest go to the fleet, results come out as they complete.

    Threads may call it at the same time: their requests share the replicas' batches.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        identity: dict[str, str],
        window_samples: int,
        audio_id: int,
        vocab_size: int,
        min_samples: int = 0,
        check_adapter: Callable[[Engine, Path], None] | None = None,
    ) -> None:
        self.fleet = fleet
        self._identity = identity
        self._window_samples = window_samples
        self._audio_id = audio_id
        self._vocab_size = vocab_size
        self._min_samples = min_samples
        self._check_adapter = check_adapter
        self._checked: set[Path] = set()
        self._lock = threading.RLock()

    @property
    def identity(self) -> dict[str, str]:
        """Everything that may change a result; the same for both kinds, which run the same code."""
        return dict(self._identity)

    @property
    def window_samples(self) -> int:
        """The longest audio, in samples, that the model can encode."""
        return self._window_samples

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Generation | Failure]]:
        """Continue each request greedily."""
        return self._run(requests, adapter)

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Score | Failure]]:
        """Score each continuation in one prefill; an empty one has an empty score."""
        return self._run(requests, adapter)

    def close(self) -> None:
        """End what was started for this engine; servers that were given by URL go on."""
        self.fleet.close()

    def _run(self, requests: Iterable[Request], adapter: Path | None) -> Iterator[tuple[str, Any]]:
        self._check(adapter)
        settled: list[tuple[str, Answer]] = []

        def askable() -> Iterator[AnyRequest]:
            for request in requests:
                answer = self._answer_without_asking(request)
                if answer is None:
                    yield request
                else:
                    settled.append((request.request_id, answer))

        for result in self.fleet.run(askable(), adapter):
            yield result
            while settled:
                yield settled.pop()
        yield from settled

    def _check(self, adapter: Path | None) -> None:
        """See once that an adapter changes what the model says: vLLM ignores weights whose names it does not know."""
        if adapter is None or self._check_adapter is None:
            return
        with self._lock:  # reentrant: the check asks this very engine; other threads wait for its verdict
            if adapter in self._checked:
                return
            self._checked.add(adapter)
            try:
                self._check_adapter(self, adapter)
            except BaseException:  # not checked after all, whatever ended it
                self._checked.discard(adapter)
                raise

    def _answer_without_asking(self, request: AnyRequest) -> Answer | None:
        failure = refuse(
            request,
            window_samples=self._window_samples,
            audio_id=self._audio_id,
            vocab_size=self._vocab_size,
            min_samples=self._min_samples,
        )
        if failure is None and isinstance(request, ScoreRequest) and not request.continuation_ids:
            return EMPTY_SCORE
        return failure
