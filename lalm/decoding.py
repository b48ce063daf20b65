"""The arithmetic of the transformers engine: one prefill, greedy steps over a KV cache, and scoring.

`LanguageModel` is what happens after the audio is encoded, whichever family; training runs the same one.

Rows are left-padded and carry their own rotary positions, so a row means the same in any batch. Logits are computed
only at the positions that are read, never for a whole prefill over a large vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from lalm.engine import Failure, Generation, Score
from lalm.loading import LoadedModel

MAX_LOGITS_BYTES = 256 << 20
NOT_FINITE = Failure(
    reason="output_not_finite",
    detail="the model computed NaN or infinite scores; its weights may be damaged or its dtype too narrow",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One prefill: ids before the audio, its embeddings (positions, width), ids after it."""

    before: tuple[int, ...]
    audio: Tensor
    after: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.before) + len(self.audio) + len(self.after)


@dataclass(slots=True, kw_only=True)
class _Answer:
    index: int
    limit: int
    ids: list[int] = field(default_factory=list)
    min_margin: float = float("inf")
    finish: Literal["stop", "length", "broken"] | None = None

    def take(self, token_id: int, margin: float, stop_ids: frozenset[int]) -> None:
        self.min_margin = min(self.min_margin, margin)
        if not math.isfinite(margin):
            self.finish = "broken"
            return
        if token_id in stop_ids:
            self.finish = "stop"
            return
        self.ids.append(token_id)
        if len(self.ids) == self.limit:
            self.finish = "length"


class LanguageModel:
    """A family's language model with its embeddings and head, fed with embeddings and giving logits where asked."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model = loaded.model
        self._embed = loaded.info.family.embed
        self._decoder = loaded.model.get_submodule(loaded.info.family.decoder_module)
        self._head = loaded.model.lm_head
        self._softcap = getattr(self._decoder.config, "final_logit_softcapping", None)
        self.config = self._decoder.config
        self.device = loaded.device
        self.vocab_size: int = self._head.out_features

    def embed(self, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings (batch, positions, width) of ids, and what else the language model is told of them."""
        if self._embed is None:
            return self._decoder.get_input_embeddings()(ids), {}
        return self._embed(self._model, ids)

    def hidden(self, embeddings: Tensor, told: Mapping[str, Tensor], **options: Any) -> Tensor:
        """The last hidden states (batch, positions, width)."""
        states: Tensor = self._decoder(inputs_embeds=embeddings, **told, **options).last_hidden_state
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 logits (..., vocabulary) of hidden states (..., width)."""
        logits: Tensor = self._head(hidden).float()
        return logits if self._softcap is None else self._softcap * torch.tanh(logits / self._softcap)


class Decoder:
    """Greedy decoding and scoring with one language model."""

    def __init__(self, language_model: LanguageModel) -> None:
        self._language_model = language_model
        self._device = language_model.device

    @torch.inference_mode()
    def generate(
        self, rows: Sequence[Row], limits: Sequence[int], stop_ids: frozenset[int]
    ) -> list[Generation | Failure]:
        """Greedy continuations of `rows`, one per limit; the lowest id wins a tie."""
        answers = [_Answer(index=index, limit=limit) for index, limit in enumerate(limits)]
        cache = DynamicCache(config=self._language_model.config)
        hidden, mask = self._prefill(rows, cache)
        positions = mask.sum(-1, keepdim=True)  # (batch, 1): the next rotary position of each row
        logits = self._language_model.logits(hidden[:, -1])  # (batch, vocabulary)
        active = answers
        while True:
            ids = _take_best(logits, active, stop_ids)
            keep = [i for i, answer in enumerate(active) if answer.finish is None]
            if not keep:
                return [_generation(answer) for answer in answers]
            if len(keep) < len(active):
                index = torch.tensor(keep, device=self._device)
                cache.batch_select_indices(index)
                ids, mask, positions = ids[index], mask[index], positions[index]
                active = [active[i] for i in keep]
            mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=-1)  # (batch, positions so far)
            hidden = self._language_model.hidden(
                *self._language_model.embed(ids[:, None]),
                attention_mask=_or_none(mask),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            positions = positions + 1
            logits = self._language_model.logits(hidden[:, -1])

    @torch.inference_mode()
    def score(self, rows: Sequence[Row], continuations: Sequence[tuple[int, ...]]) -> list[Score | Failure]:
        """Log-probability, rank and best rival of each continuation token, from one prefill.

        Each row ends with its continuation but for the last token, which nothing needs to follow.
        """
        hidden, _ = self._prefill(rows, cache=None)
        lengths = [len(ids) for ids in continuations]
        read = torch.cat([hidden[i, -n:] for i, n in enumerate(lengths)])  # (tokens, width)
        targets = torch.tensor([t for ids in continuations for t in ids], device=self._device)
        step = max(1, MAX_LOGITS_BYTES // (4 * self._language_model.vocab_size))
        parts = [
            _evidence(self._language_model.logits(read[i : i + step]), targets[i : i + step])
            for i in range(0, len(targets), step)
        ]
        columns = [torch.split(torch.cat(column), lengths) for column in zip(*parts, strict=True)]
        return [_score(*evidence) for evidence in zip(*columns, strict=True)]

    def _prefill(self, rows: Sequence[Row], cache: DynamicCache | None) -> tuple[Tensor, Tensor]:
        """Hidden states (batch, positions, width) and mask (batch, positions); fills the cache."""
        embeddings, told, mask = self._embed(rows)
        hidden = self._language_model.hidden(
            embeddings,
            told,
            attention_mask=_or_none(mask),
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),  # (batch, positions)
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return hidden, mask

    def _embed(self, rows: Sequence[Row]) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        width = max(len(row) for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            start = width - len(row)
            mask[i, start:] = 1
            ids[i, start : start + len(row.before)] = torch.tensor(row.before)
            if row.after:
                ids[i, width - len(row.after) :] = torch.tensor(row.after)
        embeddings, told = self._language_model.embed(ids.to(self._device))
        for i, row in enumerate(rows):
            end = width - len(row.after)
            embeddings[i, end - len(row.audio) : end] = row.audio.to(embeddings.dtype)
        return embeddings, told, mask.to(self._device)


def _take_best(logits: Tensor, active: list[_Answer], stop_ids: frozenset[int]) -> Tensor:
    ids = logits.argmax(-1)  # (batch,)
    best = logits.topk(2, dim=-1).values  # (batch, 2)
    margins = (best[:, 0] - best[:, 1]).tolist()
    for answer, token_id, margin in zip(active, ids.tolist(), margins, strict=True):
        answer.take(token_id, margin, stop_ids)
    return ids


def _evidence(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Own log-probability, rank and best rival's log-probability; logits are (tokens, vocabulary)."""
    logprobs = logits.log_softmax(-1)
    column = targets[:, None]
    own = logprobs.gather(-1, column)  # (tokens, 1)
    order = torch.arange(logprobs.shape[-1], device=logprobs.device)
    ahead = (logprobs > own) | ((logprobs == own) & (order < column))
    rivals = logprobs.scatter(-1, column, float("-inf")).amax(-1)
    return own[:, 0], ahead.sum(-1) + 1, rivals


def _or_none(mask: Tensor) -> Tensor | None:
    return None if bool(mask.all()) else mask


def _generation(answer: _Answer) -> Generation | Failure:
    assert answer.finish is not None
    if answer.finish == "broken":
        return NOT_FINITE
    return Generation(token_ids=tuple(answer.ids), finish=answer.finish, min_margin=answer.min_margin)


def _score(own: Tensor, ranks: Tensor, rivals: Tensor) -> Score | Failure:
    if not bool(torch.isfinite(own).all()):
        return NOT_FINITE
    return Score(
        logprobs=tuple(own.tolist()), ranks=tuple(ranks.tolist()), rival_logprobs=tuple(rivals.tolist())
    )
