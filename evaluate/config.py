"""What an evaluation measures: which utterances, which policies at which settings, which statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evaluate.long_form import LongFormConfig
from evaluate.policies import ChunkMs, PolicyConfig, PolicyPoint, SimulSA, SimulSAConfig, System
from evaluate.policies.base import distinct
from lalm.comet import CometConfig

BASELINES = ("base", "control")
"""The systems SimulSA is compared with; `control` is the same LoRA run on offline data only."""
SYSTEMS = (*BASELINES, "simulsa")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCurve:
    """The points to measure of one system under one policy, the least patient first."""

    name: str
    system: str
    points: tuple[PolicyPoint, ...]


class TimedConfig(BaseModel):
    """What is streamed once more, one utterance alone, to measure how long computing takes on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    utterances: int = Field(default=20, ge=1, description="The first utterances of the split are measured.")
    chunk_ms: tuple[ChunkMs, ...] = Field(
        default=(640, 1280), min_length=1, description="Audio per step, in ms: one measurement each."
    )
    systems: tuple[System, ...] = Field(
        default=("simulsa",), min_length=1, description="The systems that are measured, under SimulSA."
    )
    warm_up: int = Field(
        default=2,
        ge=0,
        description="Utterances behind the measured ones that are streamed first, unmeasured.",
    )
    coalesce: bool = Field(
        default=False,
        description="Let a step that comes late hear all audio that arrived meanwhile, as a live system would.",
    )

    _distinct = field_validator("chunk_ms", "systems")(distinct)


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
    policies: tuple[PolicyConfig, ...] = Field(
        default=(SimulSAConfig(),),
        description="Policies that are measured, each with the values of its knob; SimulSA's is the chunk size. The "
        "others run on the base system unless their `systems` name more.",
    )
    include_offline: bool = Field(
        default=True, description="Also translate whole utterances: the last point of every curve."
    )
    long_form: LongFormConfig | None = Field(
        default=None,
        description="A sliding window for recordings longer than the model's own; null lists these as failed.",
    )
    comet: tuple[CometConfig, ...] = Field(
        default=(),
        description="COMET models that score every point, in the environment that `make comet` makes.",
    )
    timed: TimedConfig | None = Field(
        default=None, description="Computation-aware latency of our own systems; null measures none."
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

    _distinct = field_validator("chunk_ms", "base_chunk_ms")(distinct)

    @field_validator("policies")
    @classmethod
    def _one_curve_each(cls, value: tuple[PolicyConfig, ...]) -> tuple[PolicyConfig, ...]:
        kinds = [policy.kind for policy in value]
        if "simulsa" not in kinds:
            raise ValueError(
                f"simulsa must be among the policies: the others are compared with it; got {kinds}"
            )
        if len(set(kinds)) != len(kinds):
            raise ValueError(
                f"each policy gives one curve a system, got {kinds}: put all values into one entry"
            )
        return value

    @model_validator(mode="after")
    def _no_audio_passes_unheard(self) -> Self:
        steps = [point.chunk_ms or 0 for curve in self.curves() for point in curve.points]
        longest = max([*steps, *(self.timed.chunk_ms if self.timed else ())])
        if self.long_form and longest > self.long_form.keep_ms:
            raise ValueError(
                f"a step of {longest} ms is longer than long_form.keep_ms={self.long_form.keep_ms}, so audio would "
                "leave the window unheard: raise keep_ms or drop that chunk size"
            )
        return self

    def curves(self) -> tuple[PlannedCurve, ...]:
        """Every curve that is measured: the systems under SimulSA bear their own names, the others `system+policy`."""
        own = [
            PlannedCurve(name=system, system=system, points=self._own_points(system)) for system in SYSTEMS
        ]
        others = [
            PlannedCurve(name=f"{system}+{policy.kind}", system=system, points=policy.points())
            for policy in self.policies
            if not isinstance(policy, SimulSAConfig)
            for system in policy.systems
        ]
        return (*own, *others)

    def _own_points(self, system: str) -> tuple[PolicyPoint, ...]:
        return tuple(
            PolicyPoint(label=f"{ms} ms" if ms else "whole", policy=SimulSA(), chunk_ms=ms)
            for ms in self.chunks_for(system)
        )

    def chunks_for(self, system: str) -> tuple[int | None, ...]:
        """The chunk sizes of one system's curve, ascending; None stands for the whole utterance."""
        extra = self.base_chunk_ms if system in BASELINES else ()
        streamed: tuple[int | None, ...] = tuple(sorted({*self.chunk_ms, *extra}))
        return (*streamed, None) if self.include_offline else streamed
