"""An engine that is opened by its first request: answers read back from records load no model and start no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from lalm.attention import Attention, Layers, attentive
from lalm.batching import Request
from lalm.engine import Engine, Failure, GenerateRequest, Generation, Score, ScoreRequest


class OnDemandEngine:
    """An `Engine` that asks `open_engine` for the real one whenever there is something to ask it.

    The opener decides how long an engine lives: it may give another one next time.
    """

    def __init__(
        self, open_engine: Callable[[], Engine], *, identity: dict[str, str], window_samples: int
    ) -> None:
        self._open_engine = open_engine
        self._identity = identity
        self._window_samples = window_samples

    @property
    def identity(self) -> dict[str, str]:
        """The identity that the engine will have."""
        return dict(self._identity)

    @property
    def window_samples(self) -> int:
        """The longest audio, in samples, that the model can encode."""
        return self._window_samples

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Generation | Failure]]:
        """`generate` of the opened engine; nothing is opened for no request."""
        return self._run(requests, lambda engine, asked: engine.generate(asked, adapter=adapter))

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Score | Failure]]:
        """`score` of the opened engine; nothing is opened for no request."""
        return self._run(requests, lambda engine, asked: engine.score(asked, adapter=adapter))

    def attend(
        self, requests: Iterable[ScoreRequest], *, layers: Layers = (), adapter: Path | None = None
    ) -> Iterator[tuple[str, Attention | Failure]]:
        """`attend` of the opened engine; EngineError where that shows no attention."""
        return self._run(
            requests, lambda engine, asked: attentive(engine).attend(asked, layers=layers, adapter=adapter)
        )

    def close(self) -> None:
        """Nothing: whoever opens engines closes them."""

    def _run(
        self, requests: Iterable[Request], ask: Callable[[Engine, Any], Iterator[tuple[str, Any]]]
    ) -> Iterator[tuple[str, Any]]:
        iterator = iter(requests)
        first = next(iterator, None)
        if first is not None:
            yield from ask(self._open_engine(), chain([first], iterator))
