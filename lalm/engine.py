"""The contract of every engine: two verbs on token-exact requests, results yielded as they complete.

`generate` continues a prompt that may already hold part of the answer; `score` gives the log-probabilities of a
given continuation in one prefill. A bad request yields a `Failure` and harms no other. Nothing here imports torch:
requests are plain ids and waveforms, so an engine may live in another process or on another machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioClip:
    """16 kHz mono float32 audio, shape (num_samples,), and `key`, the digest of its content."""

    key: str
    waveform: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GenerateRequest:
    """Continue `prompt_ids + forced_ids` greedily until a stop token or `max_new_tokens`.

    `prompt_ids` holds exactly one audio placeholder id, which the engine expands to the audio's positions.
    `alone` asks for a batch of one, whose arithmetic does not depend on its neighbours.
    """

    request_id: str
    prompt_ids: tuple[int, ...]
    audio: AudioClip
    forced_ids: tuple[int, ...] = ()
    max_new_tokens: int
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreRequest:
    """Score `continuation_ids` after `prompt_ids` in one prefill; never decodes."""

    request_id: str
    prompt_ids: tuple[int, ...]
    audio: AudioClip
    continuation_ids: tuple[int, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """New token ids without the stop token, why it ended, and the smallest gap between first and second choice.

    `min_margin` is in nats over all decoded steps, the stop decision included; below an epsilon it is a near tie.
    """

    token_ids: tuple[int, ...]
    finish: Literal["stop", "length"]
    min_margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Evidence per continuation token: its log-probability, its rank (1 = argmax), and its best rival's.

    A token is the argmax exactly when `logprobs[t] > rival_logprobs[t]`.
    """

    logprobs: tuple[float, ...]
    ranks: tuple[int, ...]
    rival_logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request that got no result: a snake_case `reason` and a sentence for a person."""

    reason: str
    detail: str


AnyRequest = GenerateRequest | ScoreRequest
Answer = Generation | Score | Failure


class Engine(Protocol):
    """What augment and evaluate ask of a model; see the contract test for what every engine must satisfy.

    `identity` holds everything that may change a result (kind, model digest, dtype, library versions), never
    batch size, device index or concurrency. `adapter` names a PEFT directory, or None for the base model.
    """

    @property
    def identity(self) -> dict[str, str]: ...

    @property
    def window_samples(self) -> int:
        """The longest audio, in samples, that the model can encode."""
        ...

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Generation | Failure]]: ...

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Score | Failure]]: ...

    def close(self) -> None: ...


class Journal(Protocol):
    """Durable request records, keyed by content: what is recorded is read back, never recomputed."""

    def get(self, key: str) -> dict[str, object] | None: ...

    def put(self, key: str, record: dict[str, object]) -> None: ...

    def flush(self) -> None:
        """Make every record put so far survive a kill."""
        ...
