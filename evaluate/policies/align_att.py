"""AlignAtt: write until a token listens to the end of the audio (Papi et al. 2023, arXiv 2305.11408)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from evaluate.policies.attention import before_first, listening, tail_positions
from evaluate.policies.base import Always, AttentionConfig, Hypothesis, Layers, PolicyPoint, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignAtt(Always):
    """A token is aligned with the position it listens to most; the first one aligned with the last `tail_ms` waits.

    `tail_ms` is the paper's f in time: its frames are 40 ms.
    """

    tail_ms: int
    layers: Layers = ()

    @property
    def attends(self) -> Layers:
        return self.layers

    def writes(self, seen: Seen, said: Hypothesis, /) -> int:
        heard = listening(said.evidence)
        tail = tail_positions(self.tail_ms, seen.heard_ms, heard.shape[1])
        aligned = heard[len(said.prefix) :].argmax(axis=1)  # (new tokens,)
        return before_first(aligned >= heard.shape[1] - tail)


class AlignAttConfig(AttentionConfig):
    """AlignAtt over steps of one length; the guarded end of the audio is the knob."""

    kind: Literal["alignatt"] = "alignatt"
    tail_ms: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(80, 160, 240, 400, 560),
        min_length=1,
        description="End of the audio, in ms, that no written token may be aligned with: one point each.",
    )

    def points(self) -> tuple[PolicyPoint, ...]:
        """A point per tail, ascending."""
        return tuple(
            PolicyPoint(
                label=f"{ms} ms", policy=AlignAtt(tail_ms=ms, layers=self.layers), chunk_ms=self.chunk_ms
            )
            for ms in self.tail_ms
        )
