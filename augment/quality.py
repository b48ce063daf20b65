"""Quality checks flag a row, and drop it only where the configuration says so by name.

Each check has one declared threshold. Language identification of the target is not among them: it is weak on
the short partials that matter most here.
"""

from __future__ import annotations

import unicodedata
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from augment.schema import SAMPLE_RATE_HZ, QualityFlags

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
]

FLAGS: tuple[Flag, ...] = get_args(Flag)

UNSPACED_LANGS = frozenset({"zh", "ja", "th"})
"""Languages written without spaces: a word is counted as a character there."""

_SCRIPTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ru", "uk", "bg", "sr", "mk", "be", "mn", "kk"), ("CYRILLIC",)),
    **dict.fromkeys(("ar", "fa", "ur"), ("ARABIC",)),
    "zh": ("CJK",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL",),
    "th": ("THAI",),
    "el": ("GREEK",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "ta": ("TAMIL",),
    "ka": ("GEORGIAN",),
    "hy": ("ARMENIAN",),
    **dict.fromkeys(("ca", "cs", "cy", "da", "de", "en", "es", "et", "fi", "fr", "ga", "hr"), ("LATIN",)),
    **dict.fromkeys(("hu", "id", "it", "lt", "lv", "nl", "no", "pl", "pt", "ro", "sk", "sl"), ("LATIN",)),
    **dict.fromkeys(("sv", "sw", "tr", "vi"), ("LATIN",)),
}


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
    drop: tuple[Flag, ...] = Field(
        default=(), description="Flags that drop a row into rejected.parquet; by default none does."
    )


def check_quality(
    *, kept: NDArray[np.float32], partial: str, draft: str, tgt_lang: str, config: QualityConfig
) -> QualityFlags:
    """Every flag that applies to one row, in their declared order, and its length ratio."""
    duration_s = len(kept) / SAMPLE_RATE_HZ
    ratio = len(partial) / max(1, len(draft))
    words = split_words(partial, tgt_lang)
    found: dict[Flag, bool] = {
        "audio_too_short": duration_s < config.min_duration_s,
        "audio_too_long": duration_s > config.max_duration_s,
        "audio_silent": loudness_dbfs(kept) < config.silence_dbfs,
        "too_few_words": 0 < len(words) < config.min_words,
        "length_ratio": ratio >= config.max_length_ratio,
        "longer_than_draft": len(words) > len(split_words(draft, tgt_lang)),
        "foreign_script": script_share(partial, tgt_lang) <= config.min_script_share,
        "repetition": most_repeats(words) > config.max_repeats,
        "too_many_chars_per_second": len(partial) >= config.max_chars_per_s * max(duration_s, 1e-9),
    }
    return QualityFlags(length_ratio=round(ratio, 4), flags=tuple(flag for flag in FLAGS if found[flag]))


def loudness_dbfs(waveform: NDArray[np.float32]) -> float:
    """Root mean square in decibels below full scale; minus infinity for digital silence."""
    if not len(waveform):
        return -np.inf
    mean_square = float(np.mean(np.square(waveform, dtype=np.float64)))
    return 10 * float(np.log10(mean_square)) if mean_square > 0 else -np.inf


def split_words(text: str, lang: str) -> list[str]:
    """Words, or characters for a language written without spaces."""
    return [char for char in text if not char.isspace()] if lang in UNSPACED_LANGS else text.split()


def script_share(text: str, lang: str) -> float:
    """The share of letters in the language's script; 1.0 without letters or for an unlisted language."""
    scripts = _SCRIPTS.get(lang)
    letters = [char for char in text if char.isalpha()]
    if scripts is None or not letters:
        return 1.0
    return sum(unicodedata.name(char, "").startswith(scripts) for char in letters) / len(letters)


def most_repeats(words: list[str], max_order: int = 4) -> int:
    """How often in a row the most repeated n-gram (n up to `max_order`) stands; 1 when nothing repeats."""
    return max(_repeats(words, order) for order in range(1, max_order + 1)) if words else 0


def _repeats(words: list[str], order: int) -> int:
    """A run of k equal n-grams is a run of (k - 1) * n positions that equal the one n before them."""
    longest = run = 0
    for position in range(order, len(words)):
        run = run + 1 if words[position] == words[position - order] else 0
        longest = max(longest, run)
    return longest // order + 1
