"""What the checks measure: loudness, words, script, repetition. Numbers only; no thresholds are known here."""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray

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
