"""How the supported part of a translation is found: the draft, the acceptance rule and its boundary."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Rule = Literal["greedy", "threshold", "ratio", "contrast", "stochastic", "generate"]

DEFAULT_THRESHOLDS: dict[str, float] = {"threshold": 0.7, "ratio": 0.5, "contrast": 1.0}


class PartialConfig(BaseModel):
    """Which draft is verified against the kept audio, and by which rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    draft: Literal["self", "reference"] = Field(
        default="self",
        description="self: the model's own translation of the full audio; reference: the corpus translation.",
    )
    rule: Rule = Field(
        default="greedy",
        description="Keep a draft token while, given the kept audio, it is the argmax (greedy), p >= threshold "
        "(threshold), p / p_full >= threshold (ratio), log p - log p_silence >= threshold (contrast), or "
        "u < p / p_full (stochastic); generate: no draft, translate the kept audio freely.",
    )
    threshold: float | None = Field(
        default=None,
        description="Boundary of threshold (default 0.7), ratio (0.5) or contrast (1.0 nat); none for other rules.",
    )
    near_tie_epsilon: float = Field(
        default=1e-3,
        ge=0.0,
        description="Decisions closer to their boundary than this, in nats, are made again in a batch of one.",
    )
    max_new_tokens: int = Field(
        default=128, ge=1, description="Cap of a generated draft; one that reaches it loses its last word."
    )

    @model_validator(mode="after")
    def _threshold_fits_rule(self) -> Self:
        if self.threshold is None:
            return self
        if self.rule not in DEFAULT_THRESHOLDS:
            raise ValueError(
                f"threshold={self.threshold} has no meaning for rule {self.rule!r}; remove it or choose a rule of "
                f"{', '.join(DEFAULT_THRESHOLDS)}"
            )
        if self.rule == "threshold" and not 0 < self.threshold <= 1:
            raise ValueError(
                f"threshold of rule 'threshold' is a probability in (0, 1], got {self.threshold}"
            )
        if self.rule == "ratio" and self.threshold <= 0:
            raise ValueError(f"threshold of rule 'ratio' must be above 0, got {self.threshold}")
        return self

    @property
    def used_threshold(self) -> float | None:
        """The configured threshold or the rule's default; None for rules that have none."""
        return DEFAULT_THRESHOLDS.get(self.rule) if self.threshold is None else self.threshold

    @property
    def boundary(self) -> float:
        """The number that decisions are compared with: `used_threshold`, or 0 for rules that have none."""
        return self.used_threshold or 0.0

    @property
    def other_audio(self) -> Literal["full", "silence"] | None:
        """What the rule's second prefill hears, if it has one."""
        if self.rule in ("ratio", "stochastic"):
            return "full"
        return "silence" if self.rule == "contrast" else None
