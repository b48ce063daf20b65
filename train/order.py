"""Which example stands in which slot: a pure function of seed and position, never the state of a generator.

A run with augmented rows and its control therefore see the same offline utterance in every slot that holds one,
and a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import floor
from typing import Literal

Source = Literal["offline", "augmented"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One slot's example: an index into its source."""

    source: Source
    index: int


class DataOrder:
    """The draws of every step over `offline_ids` and `augmented_ids`.

    Augmented draws are spread evenly, so their share of any stretch is exact to one draw, and each row is met
    equally often to within one. `weight` None gives them their natural share.
    """

    def __init__(
        self,
        offline_ids: Sequence[str],
        augmented_ids: Sequence[str],
        *,
        seed: int,
        batch_size: int,
        weight: float | None,
    ) -> None:
        natural = len(augmented_ids) / max(1, len(offline_ids) + len(augmented_ids))
        self.weight = (natural if weight is None else weight) if augmented_ids else 0.0
        self._batch_size = batch_size
        self._phase = _hash01(seed, "phase", 0, "")
        self._offline = _Epochs(tuple(offline_ids), seed, "offline")
        self._augmented = _Epochs(tuple(augmented_ids), seed, "augmented")

    def step(self, step: int) -> list[Draw]:
        """The draws of step 0, 1, …; always `batch_size` of them."""
        first = step * self._batch_size
        return [self._draw(position) for position in range(first, first + self._batch_size)]

    def _draw(self, position: int) -> Draw:
        before = floor(position * self.weight + self._phase)
        if floor((position + 1) * self.weight + self._phase) > before:
            return Draw(source="augmented", index=self._augmented[before])
        return Draw(source="offline", index=self._offline[position])


class _Epochs:
    """An endless sequence of indices: a fresh permutation of the ids each epoch, by hash."""

    def __init__(self, ids: tuple[str, ...], seed: int, purpose: str) -> None:
        self._ids = ids
        self._seed = seed
        self._purpose = purpose
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, len(self._ids))
        return self._permutation(epoch)[place]

    def _permute(self, epoch: int) -> list[int]:
        return sorted(
            range(len(self._ids)),
            key=lambda i: (_hash01(self._seed, self._purpose, epoch, self._ids[i]), self._ids[i]),
        )


def derived_seed(seed: int, purpose: str, index: int = 0) -> int:
    """A 63-bit seed for one purpose (LoRA initialisation, the dropout of one step)."""
    return _digest(seed, purpose, index, "") >> 1


def _hash01(seed: int, purpose: str, epoch: int, id: str) -> float:
    return (_digest(seed, purpose, epoch, id) >> 11) / 2.0**53


def _digest(seed: int, purpose: str, index: int, id: str) -> int:
    key = f"train\0{seed}\0{purpose}\0{index}\0{id}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
