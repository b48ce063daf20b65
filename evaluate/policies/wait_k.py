"""Wait-k: stay k steps of audio behind, then write one unit a step (Ma et al. 2019, arXiv 1810.08398).

Speech has no source words; a step of fixed length stands for one, as in Ma et al. 2020 (arXiv 2011.02048).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from evaluate.policies.base import Always, ChunkMs, Hypothesis, KnobConfig, PolicyPoint, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitK(Always):
    """Hear k steps before the first unit, then write at most one unit (word or character) a step.

    A model that ends its turn without a whole unit is not forced to go on: that step reads.
    """

    k: int

    def reads(self, seen: Seen, /) -> bool:
        return seen.step < self.k

    def writes(self, _seen: Seen, said: Hypothesis, /) -> int:
        return next(said.unit_ends(), 0)


class WaitKConfig(KnobConfig):
    """Wait-k over steps of one length; k is the knob."""

    kind: Literal["wait-k"] = "wait-k"
    k: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 2, 3, 5, 7),
        min_length=1,
        description="Steps heard before the first word: one point of the curve each.",
    )
    chunk_ms: ChunkMs = Field(
        default=640, description="Audio per step, in ms: what stands for a source word."
    )

    def points(self) -> tuple[PolicyPoint, ...]:
        """A point per k, ascending."""
        return tuple(PolicyPoint(label=f"k={k}", policy=WaitK(k=k), chunk_ms=self.chunk_ms) for k in self.k)
