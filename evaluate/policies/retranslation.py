"""Re-translation: at steps of fixed length translate all audio from scratch, and replace what stood.

Arivazhagan et al. 2020 (arXiv 2004.03643): low latency is bought with erasure, which masking the last units reduces.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from evaluate.policies.base import Always, ChunkMs, Hypothesis, KnobConfig, PolicyPoint, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Retranslation(Always):
    """Show each translation but for its last `mask` units (mask-k); nothing is masked at the end."""

    revises: ClassVar[bool] = True
    mask: int = 0

    def writes(self, _seen: Seen, said: Hypothesis, /) -> int:
        if not self.mask:
            return len(said.ids)
        last = deque([0, *said.unit_ends()], maxlen=self.mask + 1)
        return last[0] if len(last) > self.mask else 0


class RetranslationConfig(KnobConfig):
    """Re-translation with a fixed mask; the audio per step is the knob."""

    kind: Literal["retranslation"] = "retranslation"
    mask: int = Field(default=0, ge=0, description="Units withheld at the end of a translation (mask-k).")
    chunk_ms: tuple[ChunkMs, ...] = Field(
        default=(320, 640, 960, 1280, 1600),
        min_length=1,
        description="Audio per step, in ms: one point of the curve each.",
    )

    def points(self) -> tuple[PolicyPoint, ...]:
        """A point per chunk size, ascending."""
        policy = Retranslation(mask=self.mask)
        return tuple(PolicyPoint(label=f"{ms} ms", policy=policy, chunk_ms=ms) for ms in self.chunk_ms)
