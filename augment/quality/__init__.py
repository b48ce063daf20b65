"""Quality checks flag a row, and drop it only where the configuration says so by name."""

from __future__ import annotations

from augment.quality.checks import CHECKS, Check, check_quality
from augment.quality.config import FLAGS, Flag, QualityConfig
from augment.quality.language import language_libraries
from augment.quality.summary import QualitySummary, summarise_quality

__all__ = [
    "CHECKS",
    "FLAGS",
    "Check",
    "Flag",
    "QualityConfig",
    "QualitySummary",
    "check_quality",
    "language_libraries",
    "summarise_quality",
]
