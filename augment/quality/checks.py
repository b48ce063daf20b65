"""The declared checks: each has a flag, one threshold in QualityConfig, a measure, and a comparison that flags.

Language identification needs an optional library, quality estimation an environment of its own (its scores are made
before the checks): both are off unless asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.quality.config import Flag, QualityConfig
from augment.quality.language import language_probability
from augment.quality.measures import loudness_dbfs, most_repeats, script_share, split_words
from augment.schema import SAMPLE_RATE_HZ, QualityEstimate, QualityFlags


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the checks look at in one row."""

    kept: NDArray[np.float32]
    partial: str
    tgt_lang: str
    words: list[str]
    draft_words: list[str]
    length_ratio: float
    lid_prob: float | None
    qe_score: float | None

    @property
    def duration_s(self) -> float:
        return len(self.kept) / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A row is flagged when `measure` compares so with the threshold; a measure of None cannot be flagged.

    `threshold` names a field of QualityConfig, or is None for a check against zero.
    """

    flag: Flag
    measure: Callable[[Measured, QualityConfig], float | None]
    compare: Callable[[float, float], bool]
    threshold: str | None

    def flags(self, row: Measured, config: QualityConfig) -> bool:
        """Whether the row earns this flag."""
        value = self.measure(row, config)
        bound = 0 if self.threshold is None else getattr(config, self.threshold)
        return value is not None and self.compare(value, bound)


def _confidence(row: Measured, config: QualityConfig) -> float | None:
    return row.lid_prob if len(row.words) >= config.min_language_words else None


CHECKS: tuple[Check, ...] = (
    Check(
        flag="audio_too_short",
        measure=lambda row, _: row.duration_s,
        compare=operator.lt,
        threshold="min_duration_s",
    ),
    Check(
        flag="audio_too_long",
        measure=lambda row, _: row.duration_s,
        compare=operator.gt,
        threshold="max_duration_s",
    ),
    Check(
        flag="audio_silent",
        measure=lambda row, _: loudness_dbfs(row.kept),
        compare=operator.lt,
        threshold="silence_dbfs",
    ),
    Check(
        flag="too_few_words",
        measure=lambda row, _: len(row.words) or None,
        compare=operator.lt,
        threshold="min_words",
    ),
    Check(
        flag="length_ratio",
        measure=lambda row, _: row.length_ratio,
        compare=operator.ge,
        threshold="max_length_ratio",
    ),
    Check(
        flag="longer_than_draft",
        measure=lambda row, _: len(row.words) - len(row.draft_words),
        compare=operator.gt,
        threshold=None,
    ),
    Check(
        flag="foreign_script",
        measure=lambda row, _: script_share(row.partial, row.tgt_lang),
        compare=operator.le,
        threshold="min_script_share",
    ),
    Check(
        flag="repetition",
        measure=lambda row, _: most_repeats(row.words),
        compare=operator.gt,
        threshold="max_repeats",
    ),
    Check(
        flag="too_many_chars_per_second",
        measure=lambda row, _: len(row.partial) / max(row.duration_s, 1e-9),
        compare=operator.ge,
        threshold="max_chars_per_s",
    ),
    Check(flag="other_language", measure=_confidence, compare=operator.lt, threshold="min_language_prob"),
    Check(flag="low_qe", measure=lambda row, _: row.qe_score, compare=operator.lt, threshold="min_qe_score"),
)
"""In the order in which a row carries its flags."""


def check_quality(
    *,
    kept: NDArray[np.float32],
    partial: str,
    draft: str,
    tgt_lang: str,
    config: QualityConfig,
    src_lang: str | None = None,
    estimate: QualityEstimate | None = None,
) -> QualityFlags:
    """Every flag that applies to one row, in their declared order, and the measures that rows carry."""
    row = Measured(
        kept=kept,
        partial=partial,
        tgt_lang=tgt_lang,
        words=split_words(partial, tgt_lang),
        draft_words=split_words(draft, tgt_lang),
        length_ratio=len(partial) / max(1, len(draft)),
        lid_prob=language_probability(partial, tgt_lang, config.language_rivals, also=src_lang)
        if config.identify_language
        else None,
        qe_score=estimate.score if estimate else None,
    )
    flags = tuple(check.flag for check in CHECKS if check.flags(row, config))
    return QualityFlags(
        length_ratio=round(row.length_ratio, 4),
        lid_prob=row.lid_prob,
        qe_score=row.qe_score,
        qe_model=estimate.model if estimate and estimate.score is not None else None,
        flags=flags,
    )
