"""Local agreement: write what successive hypotheses have in common.

LA-n of Liu et al. 2020 (arXiv 2005.11185), in the form that won IWSLT 2022: Polák et al. 2022 (section 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from pydantic import Field

from evaluate.policies.base import Always, ChunkMs, Hypothesis, KnobConfig, PolicyPoint, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAgreement(Always):
    """Write the longest common prefix of the last n hypotheses (LA-n); n = 1 writes all of each."""

    n: int = 2

    def writes(self, seen: Seen, said: Hypothesis, /) -> int:
        others = seen.hypotheses[-(self.n - 1) :] if self.n > 1 else ()
        if len(others) < self.n - 1:
            return 0
        shared = takewhile(
            lambda column: len(set(column)) == 1,
            zip((*said.prefix, *said.ids), *others, strict=False),
        )
        return max(0, sum(1 for _ in shared) - len(said.prefix))


class LocalAgreementConfig(KnobConfig):
    """Local agreement of n hypotheses; the audio per step is the knob."""

    kind: Literal["local-agreement"] = "local-agreement"
    n: int = Field(default=2, ge=2, description="How many successive hypotheses must agree.")
    chunk_ms: tuple[ChunkMs, ...] = Field(
        default=(320, 640, 960, 1280, 1600),
        min_length=1,
        description="Audio per step, in ms: one point of the curve each.",
    )

    def points(self) -> tuple[PolicyPoint, ...]:
        """A point per chunk size, ascending."""
        policy = LocalAgreement(n=self.n)
        return tuple(PolicyPoint(label=f"{ms} ms", policy=policy, chunk_ms=ms) for ms in self.chunk_ms)
