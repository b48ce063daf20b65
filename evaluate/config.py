"""What an evaluation measures: which utterances, which chunk sizes, which statistics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

ChunkMs = Annotated[int, Field(ge=20, le=60_000)]

BASELINES = ("base", "control")
"""The systems SimulSA is compared with; `control` is the same LoRA run on offline data only."""
SYSTEMS = (*BASELINES, "simulsa")


class EvaluateConfig(BaseModel):
    """The measured points of each curve and the bootstrap around their comparison at equal latency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str = Field(default="test", description="The corpus split that is streamed.")
    max_utterances: int | None = Field(
        default=None, ge=1, description="Stream only the first utterances of the split; null streams all."
    )
    chunk_ms: tuple[ChunkMs, ...] = Field(
        default=(320, 640, 960, 1280, 1600, 2000),
        min_length=1,
        description="Audio per streaming step, in ms: one point of every system's curve each.",
    )
    base_chunk_ms: tuple[ChunkMs, ...] = Field(
        default=(2400, 3200),
        description="Further chunk sizes for base and control only, so that the curves overlap in latency.",
    )
    include_offline: bool = Field(
        default=True, description="Also translate whole utterances: the last point of every curve."
    )
    max_new_tokens_per_step: int = Field(
        default=24, ge=2, description="Cap on the tokens of one step before the audio ends; hits are counted."
    )
    max_new_tokens_offline: int = Field(
        default=128, ge=2, description="Cap on the tokens of the step that hears the end of the audio."
    )
    unit: Literal["auto", "word", "char"] = Field(
        default="auto", description="Unit of latency; auto is characters for zh, ja and th, else words."
    )
    bootstrap_resamples: int = Field(
        default=1000, ge=20, description="Paired resamples of the utterances behind every interval."
    )
    bootstrap_seed: int = Field(default=0, ge=0, description="Seed of the resampling generator (PCG64).")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Mass of the percentile intervals.")
    laal_points: tuple[float, ...] | None = Field(
        default=None,
        description="LAAL values (ms) at which BLEU is compared; null picks round values inside the overlap.",
    )

    @field_validator("chunk_ms", "base_chunk_ms")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"chunk sizes must be distinct, got {list(value)}: remove the repeated one")
        return tuple(sorted(value))

    def chunks_for(self, system: str) -> tuple[int | None, ...]:
        """The chunk sizes of one system's curve, ascending; None stands for the whole utterance."""
        extra = self.base_chunk_ms if system in BASELINES else ()
        streamed: tuple[int | None, ...] = tuple(sorted({*self.chunk_ms, *extra}))
        return (*streamed, None) if self.include_offline else streamed
