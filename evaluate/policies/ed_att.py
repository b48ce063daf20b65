"""EDAtt: write until a token gives the end of the audio too much attention (Papi et al. 2023, arXiv 2212.07850)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from evaluate.policies.attention import before_first, listening, tail_positions
from evaluate.policies.base import Always, AttentionConfig, Hypothesis, Layers, PolicyPoint, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class EDAtt(Always):
    """The first token waits that gives the last `tail_ms` (the paper's λ) a share of `alpha` or more.

    As in the paper, the very last position is left out before: it draws attention whatever was said.
    """

    alpha: float
    tail_ms: int = 80
    layers: Layers = ()

    @property
    def attends(self) -> Layers:
        return self.layers

    def writes(self, seen: Seen, said: Hypothesis, /) -> int:
        count = said.evidence.shape[1]
        heard = listening(said.evidence[:, :-1])
        tail = min(count - 1, tail_positions(self.tail_ms, seen.heard_ms, count))
        given = heard[len(said.prefix) :, count - 1 - tail :].sum(axis=1)  # (new tokens,)
        return before_first(given >= self.alpha)


class EDAttConfig(AttentionConfig):
    """EDAtt over steps of one length; alpha is the knob, and less is more patient."""

    kind: Literal["edatt"] = "edatt"
    alpha: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        default=(0.02, 0.05, 0.1, 0.2, 0.4),
        min_length=1,
        description="Share of attention on the end of the audio that makes a token wait: one point each.",
    )
    tail_ms: int = Field(default=80, ge=1, description="How much audio is its end, in ms.")

    def points(self) -> tuple[PolicyPoint, ...]:
        """A point per alpha, the least patient (the largest) first."""
        return tuple(
            PolicyPoint(
                label=f"alpha={alpha:g}",
                policy=EDAtt(alpha=alpha, tail_ms=self.tail_ms, layers=self.layers),
                chunk_ms=self.chunk_ms,
            )
            for alpha in reversed(self.alpha)
        )
