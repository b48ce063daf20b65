"""Random choices as functions: a choice depends on its key and its name, never on earlier choices."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dice:
    """A named source of reproducible choices; ``at`` gives an independent one for a sub-key."""

    key: str

    def at(self, name: str) -> "Dice":
        return Dice(f"{self.key}/{name}")

    def unit(self, name: str) -> float:
        """A number in [0, 1) that is a function of the key and the name."""
        digest = blake2b(f"{self.key}/{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest[:7], "big") / 2**56

    def chance(self, name: str, probability: float) -> bool:
        return self.unit(name) < probability

    def pick(self, name: str, options: Sequence[T]) -> T:
        return options[int(self.unit(name) * len(options))]

    def weighted(self, name: str, options: Sequence[tuple[T, float]]) -> T:
        """Pick by weight; the weights need not sum to one."""
        left = self.unit(name) * sum(weight for _, weight in options)
        for option, weight in options:
            left -= weight
            if left < 0:
                return option
        return options[-1][0]

    def between(self, name: str, low: float, high: float) -> float:
        return low + self.unit(name) * (high - low)
