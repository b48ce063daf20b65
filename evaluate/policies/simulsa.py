"""SimulSA: the model itself decides, and ends its turn where it wants to hear more (arXiv 2509.15692)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from evaluate.policies.base import Always, Hypothesis, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulSA(Always):
    """Write all that the model says until it ends its turn; the audio per step is the knob."""

    def writes(self, _seen: Seen, said: Hypothesis, /) -> int:
        return len(said.ids)


class SimulSAConfig(BaseModel):
    """SimulSA, on every system: its curves have the chunk sizes of the evaluation itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["simulsa"] = "simulsa"
