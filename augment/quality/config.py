"""The thresholds of the quality checks, one per flag, and which flags drop a row."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from lalm.comet import CometConfig

Flag = Literal[
    "audio_too_short",
    "audio_too_long",
    "audio_silent",
    "too_few_words",
    "length_ratio",
    "longer_than_draft",
    "foreign_script",
    "repetition",
    "too_many_chars_per_second",
    "other_language",
    "low_qe",
]

FLAGS: tuple[Flag, ...] = get_args(Flag)


class QualityConfig(BaseModel):
    """Thresholds of the checks, and which flags drop a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_duration_s: float = Field(
        default=0.1, ge=0, description="Kept audio below is flagged audio_too_short."
    )
    max_duration_s: float = Field(
        default=30.0, gt=0, description="Kept audio above is flagged audio_too_long."
    )
    min_words: int = Field(
        default=2, ge=0, description="A non-empty partial target of fewer words is flagged too_few_words."
    )
    max_length_ratio: float = Field(
        default=4.0, gt=0, description="Characters of the partial per character of the draft, below this."
    )
    min_script_share: float = Field(
        default=0.8, ge=0, le=1, description="Share of letters in the target language's script, above this."
    )
    max_repeats: int = Field(
        default=3, ge=1, description="More repeats in a row of the same 1 to 4 words are flagged repetition."
    )
    max_chars_per_s: float = Field(
        default=40.0, gt=0, description="Characters of the partial per second of kept audio, below this."
    )
    silence_dbfs: float = Field(
        default=-60.0,
        le=0,
        description="Kept audio of a lower root mean square is flagged audio_silent.",
    )
    identify_language: bool = Field(
        default=False,
        description="Ask lingua (the extra `lid`) how probably the partial is in the target language: qc.lid_prob.",
    )
    language_rivals: tuple[str, ...] = Field(
        default=("en", "de", "es", "fr", "it", "nl", "pt"),
        min_length=2,
        description="ISO 639-1 codes that the target language is told from, besides the source language.",
    )
    min_language_prob: float = Field(
        default=0.5, ge=0, le=1, description="A partial less probably in its language is other_language."
    )
    min_language_words: int = Field(
        default=4, ge=1, description="A shorter partial is never other_language: too short to tell."
    )
    qe: CometConfig | None = Field(
        default=None,
        description="A COMET model without reference that scores each draft against the source text: qc.qe_score.",
    )
    min_qe_score: float = Field(
        default=0.5,
        description="A draft that qe scores lower is flagged low_qe; one it cannot score never is.",
    )
    drop: tuple[Flag, ...] = Field(
        default=(), description="Flags that drop a row into rejected.parquet; by default none does."
    )
