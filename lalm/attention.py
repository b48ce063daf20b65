"""Where a model listened as it chose each token: its language model's attention over the audio's positions.

Kept apart from `lalm.engine`: only the transformers engine can say, and only attention policies ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lalm.decoding import Row
from lalm.encodings import AudioEncodings
from lalm.engine import Engine, Failure, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import LoadedModel
from lalm.transformers_engine import TransformersEngine

Attention = NDArray[np.float32]
"""Shape (tokens, audio positions): how much of each token's attention each position had; rows sum to at most 1."""
Layers = tuple[int, ...]
"""Decoder layers, the first is 0; an empty tuple means all of them."""
FIXED_LENGTH = frozenset({"voxtral", "gemma3n"})
"""Families whose audio positions go on behind the audio, so that a position does not tell a time."""


@runtime_checkable
class AttentionEngine(Protocol):
    """What attention policies ask beyond `Engine`."""

    def attend(
        self, requests: Iterable[ScoreRequest], *, layers: Layers = (), adapter: Path | None = None
    ) -> Iterator[tuple[str, Attention | Failure]]:
        """Attention of each request's continuation, a row per token, the mean over all heads of the layers."""
        ...


def attentive(engine: Engine) -> AttentionEngine:
    """The engine as one that shows its attention; EngineError where it cannot."""
    if not isinstance(engine, AttentionEngine):
        raise EngineError(
            f"engine {engine.identity['kind']} cannot say where the model listened, which AlignAtt and EDAtt need: "
            "set engine.kind to transformers or take these policies out of evaluate.policies"
        )
    return engine


class AttentiveEngine(TransformersEngine):
    """A transformers engine that also says where it listened; it runs those prefills with eager attention.

    A row is the attention of the position that predicts the token, as in decoding. Raises EngineError for a layer the
    model does not have and for a family whose audio positions tell no time.
    """

    def __init__(
        self, loaded: LoadedModel, *, batch_size: int = 16, encodings: AudioEncodings | None = None
    ) -> None:
        super().__init__(loaded, batch_size=batch_size, encodings=encodings)
        self._text_model = loaded.model.get_submodule(loaded.info.family.decoder_module)

    def attend(
        self, requests: Iterable[ScoreRequest], *, layers: Layers = (), adapter: Path | None = None
    ) -> Iterator[tuple[str, Attention | Failure]]:
        """One prefill a request; yields in the order in which batches complete."""
        family = self._loaded.info.family
        if family.model_type in FIXED_LENGTH:
            raise EngineError(
                f"{family.name} hears silence behind the audio, so its attention does not tell when a word was said; "
                "choose another policy, such as local-agreement"
            )
        count = len(self._text_model.layers)
        if beyond := [layer for layer in layers if not 0 <= layer < count]:
            raise EngineError(
                f"{family.name} has decoder layers 0 to {count - 1}, not {beyond}: change `layers`"
            )
        return self._run(requests, adapter, partial(self._attend_batch, layers=layers or tuple(range(count))))

    def _attend_batch(
        self, batch: list[ScoreRequest], encoder_key: str, *, layers: Layers
    ) -> list[Attention | Failure]:
        asked = [request for request in batch if request.continuation_ids]
        found = iter(self._attend_asked(asked, encoder_key, layers) if asked else [])
        nothing = np.zeros((0, 0), dtype=np.float32)
        return [next(found) if request.continuation_ids else nothing for request in batch]

    def _attend_asked(
        self, batch: list[ScoreRequest], encoder_key: str, layers: Layers
    ) -> list[Attention | Failure]:
        continuations = [request.continuation_ids for request in batch]
        rows = self._rows(batch, [ids[:-1] for ids in continuations], encoder_key)
        listener = _Listener(rows, [len(ids) for ids in continuations])
        with _eager(self._text_model), listener.on([self._text_model.layers[i].self_attn for i in layers]):
            scores = self._decoder.score(rows, continuations)
        heard = listener.mean()
        return [
            score if isinstance(score, Failure) else attention
            for score, attention in zip(scores, heard, strict=True)
        ]


class _Listener:
    """Sums the attention that passes through some layers, keeping only new tokens and audio positions."""

    def __init__(self, rows: Sequence[Row], num_tokens: Sequence[int]) -> None:
        self._parts = list(zip(rows, num_tokens, strict=True))
        self._sums: list[Tensor | float] = [0.0] * len(rows)
        self._num_layers = 0

    @contextmanager
    def on(self, modules: Sequence[Any]) -> Iterator[None]:
        """Listen to these attention modules while inside."""
        hooks = [module.register_forward_hook(self._hear) for module in modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hear(self, _module: Any, _inputs: Any, outputs: tuple[Tensor, Tensor]) -> None:
        weights = outputs[1].float().mean(dim=1)  # (batch, positions, positions)
        self._num_layers += 1
        for i, (row, count) in enumerate(self._parts):
            end = weights.shape[-1] - len(row.after)
            self._sums[i] = self._sums[i] + weights[i, -count:, end - len(row.audio) : end]

    def mean(self) -> list[Attention]:
        """Per row the mean over the layers, shape (tokens, audio positions)."""
        return [(total / self._num_layers).cpu().numpy() for total in self._sums if isinstance(total, Tensor)]


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """The attention implementation that computes its weights where they can be seen."""
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
