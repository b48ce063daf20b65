"""Which engine runs the model; never part of a dataset's identity except for its kind."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EngineConfig(BaseModel):
    """What runs the model, and how many requests at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["transformers"] = Field(
        default="transformers", description="transformers: in this process, on CPU or GPU; the reference."
    )
    batch_size: int = Field(
        default=16, ge=1, description="Requests per forward pass; never changes fp32 texts."
    )
