"""Offline translation: hear everything, then write everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evaluate.policies.base import Always, Hypothesis, KnobConfig, PolicyPoint, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline(Always):
    """Read until the audio has ended: what every policy becomes at its most patient."""

    def reads(self, _seen: Seen, /) -> bool:
        return True

    def writes(self, _seen: Seen, _said: Hypothesis, /) -> int:
        return 0


class OfflineConfig(KnobConfig):
    """Offline translation: a single point, without a knob."""

    kind: Literal["offline"] = "offline"

    def points(self) -> tuple[PolicyPoint, ...]:
        """The one point there is."""
        return (PolicyPoint(label="whole", policy=Offline(), chunk_ms=None),)
