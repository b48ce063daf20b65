"""The reference engine: Hugging Face transformers in this process, on CPU or GPU.

Equal to the model's own greedy `generate`; batches only change the last bits of its arithmetic. One call at a time:
adapters are switched in the model itself, so threads that share it need a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lalm.batching import Request, answer_ids, batches, chunks, refuse
from lalm.decoding import Decoder, LanguageModel, Row
from lalm.encodings import AudioEncodings
from lalm.engine import Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import LoadedModel, ModelInfo
from lalm.prompts import audio_token_id, stop_ids

BATCHES_SORTED_TOGETHER = 32


class TransformersEngine:
    """An `Engine` over a loaded model; results come out batch by batch, shortest requests first."""

    def __init__(
        self, loaded: LoadedModel, *, batch_size: int = 16, encodings: AudioEncodings | None = None
    ) -> None:
        family = loaded.info.family
        self._loaded = loaded
        self._batch_size = batch_size
        self._encodings = encodings or AudioEncodings()
        self._audio_id = audio_token_id(loaded.tokenizer, family)
        self._stop_ids = frozenset(stop_ids(loaded.tokenizer, family))
        self._language_model = LanguageModel(loaded)
        self._decoder = Decoder(self._language_model)

    @property
    def identity(self) -> dict[str, str]:
        """Everything that may change a result, bit for bit."""
        return engine_identity(self._loaded.info, self._loaded.dtype, self._loaded.device)

    @property
    def window_samples(self) -> int:
        """The longest audio, in samples, that the model can encode."""
        return self._loaded.info.window_samples

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Generation | Failure]]:
        """Continue each request greedily; yields in the order in which batches complete."""
        return self._run(requests, adapter, self._generate_batch)

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Score | Failure]]:
        """Score each continuation in one prefill; an empty one has an empty score."""
        return self._run(requests, adapter, self._score_batch)

    def close(self) -> None:
        """Take off any adapter; the model itself belongs to whoever loaded it."""
        self._loaded.adapters.wear(None)

    def _run(
        self,
        requests: Iterable[Request],
        adapter: Path | None,
        run_batch: Callable[[list[Request], str], list[Any]],
    ) -> Iterator[tuple[str, Any]]:
        for chunk in chunks(requests, self._batch_size * BATCHES_SORTED_TOGETHER):
            good: list[Request] = []
            for request in chunk:
                failure = self._refuse(request)
                if failure is None:
                    good.append(request)
                else:
                    yield request.request_id, failure
            for batch in batches(good, self._batch_size):
                encoder_key = self._loaded.adapters.wear(
                    adapter
                )  # another caller may have switched since the last yield
                results = self._within_memory(run_batch, batch, encoder_key)
                yield from zip((request.request_id for request in batch), results, strict=True)

    def _within_memory(
        self, run_batch: Callable[[list[Request], str], list[Any]], batch: list[Request], encoder_key: str
    ) -> list[Any]:
        try:
            return run_batch(batch, encoder_key)
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"the GPU has no memory for {len(batch)} requests at once (engine.batch_size is "
                f"{self._batch_size}); lower it: what was answered so far is kept"
            ) from error

    def _refuse(self, request: GenerateRequest | ScoreRequest) -> Failure | None:
        return refuse(
            request,
            window_samples=self.window_samples,
            audio_id=self._audio_id,
            vocab_size=self._language_model.vocab_size,
            min_samples=self._loaded.info.family.min_samples,
        )

    def _generate_batch(self, batch: list[GenerateRequest], encoder_key: str) -> list[Generation | Failure]:
        rows = self._rows(batch, [answer_ids(request) for request in batch], encoder_key)
        return self._decoder.generate(rows, [request.max_new_tokens for request in batch], self._stop_ids)

    def _score_batch(self, batch: list[ScoreRequest], encoder_key: str) -> list[Score | Failure]:
        asked = [request for request in batch if request.continuation_ids]
        scores = iter(self._score_asked(asked, encoder_key) if asked else [])
        empty = Score(logprobs=(), ranks=(), rival_logprobs=())
        return [next(scores) if request.continuation_ids else empty for request in batch]

    def _score_asked(self, batch: list[ScoreRequest], encoder_key: str) -> list[Score | Failure]:
        rows = self._rows(batch, [request.continuation_ids[:-1] for request in batch], encoder_key)
        return self._decoder.score(rows, [request.continuation_ids for request in batch])

    def _rows(
        self,
        batch: Sequence[GenerateRequest | ScoreRequest],
        given: Sequence[tuple[int, ...]],
        encoder_key: str,
    ) -> list[Row]:
        embeddings = self._encodings.get_batch(
            self._loaded, [request.audio for request in batch], encoder_key=encoder_key, alone=batch[0].alone
        )
        return [
            self._row(request.prompt_ids, audio, ids)
            for request, audio, ids in zip(batch, embeddings, given, strict=True)
        ]

    def _row(self, prompt_ids: tuple[int, ...], audio: torch.Tensor, given: tuple[int, ...]) -> Row:
        cut = prompt_ids.index(self._audio_id)
        return Row(before=prompt_ids[:cut], audio=audio, after=prompt_ids[cut + 1 :] + given)


def engine_identity(info: ModelInfo, dtype: torch.dtype, device: torch.device) -> dict[str, str]:
    """The identity that an engine over this model would have, known before its weights are loaded."""
    return {
        "kind": "transformers",
        "model": info.digest,
        "dtype": str(dtype).removeprefix("torch."),
        "device": device.type,
        "torch": torch.__version__,
        **{name: version(name) for name in ("transformers", "tokenizers", "peft")},
    }
