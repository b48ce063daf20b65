"""The arithmetic of the transformers engine: one prefill, greedy steps over a KV cache, and scoring.

Rows are left-padded and carry their own rotary positions, so a row means the same in any batch. Logits are computed
only at the positions that are read, never for a whole prefill over a large vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from lalm.engine import Failure, Generation, Score

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


class Decoder:
    """A language model with its embedding and head: everything that happens after the audio is encoded."""

    def __init__(self, language_model: Any, lm_head: Any, device: torch.device) -> None:
        self._language_model = language_model
        self._lm_head = lm_head
        self._device = device

    @torch.inference_mode()
    def generate(
        self, rows: Sequence[Row], limits: Sequence[int], stop_ids: frozenset[int]
    ) -> list[Generation | Failure]:
        """Greedy continuations of `rows`, one per limit; the lowest id wins a tie."""
        answers = [_Answer(index=index, limit=limit) for index, limit in enumerate(limits)]
        hidden, mask, cache = self._prefill(rows, cache=DynamicCache(config=self._language_model.config))
        positions = mask.sum(-1, keepdim=True)  # (batch, 1): the next rotary position of each row
        logits = self._lm_head(hidden[:, -1]).float()  # (batch, vocabulary)
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
            hidden = self._language_model(
                input_ids=ids[:, None],
                attention_mask=_or_none(mask),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            positions = positions + 1
            logits = self._lm_head(hidden[:, -1]).float()

    @torch.inference_mode()
    def score(self, rows: Sequence[Row], continuations: Sequence[tuple[int, ...]]) -> list[Score | Failure]:
        """Log-probability, rank and best rival of each continuation token, from one prefill.

        Each row ends with its continuation but for the last token, which nothing needs to follow.
        """
        hidden, _, _ = self._prefill(rows, cache=None)
        lengths = [len(ids) for ids in continuations]
        read = torch.cat([hidden[i, -n:] for i, n in enumerate(lengths)])  # (tokens, width)
        targets = torch.tensor([t for ids in continuations for t in ids], device=self._device)
        step = max(1, MAX_LOGITS_BYTES // (4 * self._lm_head.out_features))
        parts = [
            _evidence(self._lm_head(read[i : i + step]).float(), targets[i : i + step])
            for i in range(0, len(targets), step)
        ]
        columns = [torch.split(torch.cat(column), lengths) for column in zip(*parts, strict=True)]
        return [_score(*evidence) for evidence in zip(*columns, strict=True)]

    def _prefill(
        self, rows: Sequence[Row], cache: DynamicCache | None
    ) -> tuple[Tensor, Tensor, DynamicCache]:
        """Hidden states (batch, positions, width), mask (batch, positions) and the filled cache."""
        embeddings, mask = self._embed(rows)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)  # (batch, positions)
        output = self._language_model(
            inputs_embeds=embeddings,
            attention_mask=_or_none(mask),
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state, mask, output.past_key_values

    def _embed(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        width = max(len(row) for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            start = width - len(row)
            mask[i, start:] = 1
            ids[i, start : start + len(row.before)] = torch.tensor(row.before)
            if row.after:
                ids[i, width - len(row.after) :] = torch.tensor(row.after)
        embeddings = self._language_model.get_input_embeddings()(ids.to(self._device))
        for i, row in enumerate(rows):
            end = width - len(row.after)
            embeddings[i, end - len(row.audio) : end] = row.audio.to(embeddings.dtype)
        return embeddings, mask.to(self._device)


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
