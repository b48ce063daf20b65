"""Hold-n: write each hypothesis but for its last n tokens (Liu et al. 2020, arXiv 2005.11185)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from evaluate.policies.base import Always, ChunkMs, Hypothesis, KnobConfig, PolicyPoint, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldN(Always):
    """Withhold the last n tokens of every hypothesis: the end of it is what more audio changes most."""

    n: int

    def writes(self, _seen: Seen, said: Hypothesis, /) -> int:
        return max(0, len(said.ids) - self.n)


class HoldNConfig(KnobConfig):
    """Hold-n over steps of one length; n is the knob."""

    kind: Literal["hold-n"] = "hold-n"
    n: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(2, 4, 6, 8, 12),
        min_length=1,
        description="Tokens withheld at the end of a hypothesis: one point of the curve each.",
    )
    chunk_ms: ChunkMs = Field(default=640, description="Audio per step, in ms.")

    def points(self) -> tuple[PolicyPoint, ...]:
        """A point per n, ascending."""
        return tuple(PolicyPoint(label=f"n={n}", policy=HoldN(n=n), chunk_ms=self.chunk_ms) for n in self.n)
