"""Choose about 1 % of the utterances and keep a random beginning of each one's audio.

Selection and cut are functions of (seed, corpus, id): they depend on nothing else in the corpus, so a corpus
that grows keeps the choices it had. This module reads no files.
"""

from __future__ import annotations

import re
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from augment.audio import pcm_digest, samples_of
from augment.beta import truncated_beta_inverse
from augment.random import uniform01
from augment.schema import SAMPLE_RATE_HZ, Rejection, TruncatedUtterance, Utterance

__all__ = [
    "TruncateConfig",
    "draw_id",
    "is_selected",
    "kept_ratio",
    "kept_sample_range",
    "truncate",
    "uniform01",
]

_LOOKS_LIKE_A_DRAW = re.compile(r"\.d[1-9][0-9]*\Z")


class TruncateConfig(BaseModel):
    """How many utterances are cut, and where: SimulSA's Beta-decay law with alpha=1, beta=3 by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fraction: float = Field(
        default=0.01,
        ge=0.0,
        allow_inf_nan=False,
        description="Truncated examples as a share of the offline utterances, draws included (0.01: 1 %).",
    )
    draws_per_utterance: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Cuts made of each selected utterance; fraction / draws_per_utterance of them are "
        "selected.",
    )
    alpha: float = Field(
        default=1.0, gt=0.0, le=100.0, description="First shape of the Beta law of the share."
    )
    beta: float = Field(
        default=3.0,
        gt=0.0,
        le=100.0,
        description="Second shape; above alpha, small shares are likely ('decay').",
    )
    of: Literal["kept", "removed"] = Field(
        default="kept",
        description="Whether the law is that of the kept or the removed share of the audio.",
    )
    min_kept_s: float = Field(
        default=0.3, ge=0.0, le=3600.0, description="Every cut keeps at least this much audio, in seconds."
    )
    min_removed_s: float = Field(
        default=0.3, ge=0.0, le=3600.0, description="Every cut removes at least this much, in seconds."
    )

    @model_validator(mode="after")
    def _fraction_is_reachable(self) -> Self:
        if self.fraction > self.draws_per_utterance:
            raise ValueError(
                f"fraction={self.fraction} asks for more examples than "
                f"draws_per_utterance={self.draws_per_utterance} "
                f"gives: set fraction to at most {self.draws_per_utterance}, or raise draws_per_utterance "
                f"(fraction is a share, 0.01 means 1 %)"
            )
        return self

    @property
    def selected_share(self) -> float:
        """The share of utterances to select, so that all draws together are `fraction` of the corpus."""
        return self.fraction / self.draws_per_utterance


def is_selected(seed: int, corpus: str, id: str, fraction: float) -> bool:
    """Whether this utterance is among the `fraction` that is selected; pass `config.selected_share`.

    An utterance is selected once, for all its draws. A larger fraction keeps every utterance of a smaller
    one.
    """
    return uniform01(seed, "select", corpus, id) < fraction


def draw_id(utterance_id: str, draw: int) -> str:
    """The id of one cut: the utterance's own for draw 0, `{id}.d{draw}` for further draws."""
    return utterance_id if draw == 0 else f"{utterance_id}.d{draw}"


def kept_sample_range(num_samples: int, config: TruncateConfig) -> tuple[int, int] | None:
    """The fewest and the most samples a cut may keep; None if no cut is allowed."""
    fewest = max(1, samples_of(config.min_kept_s))
    most = num_samples - max(1, samples_of(config.min_removed_s))
    return (fewest, most) if fewest <= most else None


def kept_ratio(u: float, num_samples: int, config: TruncateConfig) -> float | None:
    """The kept share that `u` stands for, under the law restricted to the allowed cuts, or None.

    x = F^-1(F(lo) + u (F(hi) - F(lo))), with F the CDF of Beta(alpha, beta) and [lo, hi] the allowed shares.
    """
    allowed = kept_sample_range(num_samples, config)
    if allowed is None:
        return None
    low, high = allowed[0] / num_samples, allowed[1] / num_samples
    if config.of == "kept":
        return truncated_beta_inverse(u, config.alpha, config.beta, low, high)
    removed = truncated_beta_inverse(u, config.alpha, config.beta, 1.0 - high, 1.0 - low)
    return min(max(1.0 - removed, low), high)


def truncate(
    utterance: Utterance, waveform: NDArray[np.float32], config: TruncateConfig, seed: int, draw: int = 0
) -> TruncatedUtterance | Rejection:
    """Cut `waveform`, the utterance's whole audio at 16 kHz, where (seed, corpus, id, draw) decide."""
    id = draw_id(utterance.id, draw)
    if config.draws_per_utterance > 1 and _LOOKS_LIKE_A_DRAW.search(utterance.id):
        return _ambiguous_id(utterance, id)
    num_samples = len(waveform)
    ratio = kept_ratio(uniform01(seed, "ratio", utterance.corpus, id), num_samples, config)
    if ratio is None:
        return _too_short(utterance, id, num_samples, config)
    kept_samples = round(ratio * num_samples)
    return TruncatedUtterance(
        id=id,
        draw=draw,
        utterance=utterance,
        num_samples=num_samples,
        kept_samples=kept_samples,
        kept_ratio=ratio,
        audio_sha256=pcm_digest(waveform),
        kept_sha256=pcm_digest(waveform[:kept_samples]),
    )


def _too_short(utterance: Utterance, id: str, num_samples: int, config: TruncateConfig) -> Rejection:
    needed_s = config.min_kept_s + config.min_removed_s
    return Rejection(
        id=id,
        stage="truncate",
        reason="too_short_to_truncate",
        detail=f"{num_samples / SAMPLE_RATE_HZ:.3f} s of audio cannot be cut: "
        f"min_kept_s={config.min_kept_s} and min_removed_s={config.min_removed_s} need {needed_s:.3f} s",
        where=utterance.audio.path,
    )


def _ambiguous_id(utterance: Utterance, id: str) -> Rejection:
    return Rejection(
        id=id,
        stage="truncate",
        reason="ambiguous_draw_id",
        detail=f"the id {utterance.id!r} reads like a further draw of another utterance; "
        "with draws_per_utterance > 1 ids must not end in .d<number>: rename it, or use one draw",
        where=utterance.audio.path,
    )
