"""Text files whose line n belongs to entry n of a list of segments, as MuST-C and Europarl-ST have them."""

from __future__ import annotations

from pathlib import Path

from augment.corpora.base import CorpusError
from augment.corpora.lines import count_lines


def check_alignment(listed_in: Path, segments: int, texts: list[Path], *, hint: str) -> None:
    """Refuse before any work: after one line too many, every translation belongs to another segment."""
    for text in texts:
        lines = count_lines(text)
        if lines != segments:
            raise CorpusError(
                f"{listed_in} lists {segments} segments, {text} has {lines} lines: they must be equal, "
                f"as line n is the text of segment n{hint}. "
                "Look for an empty line at the end or a file of another version"
            )


def seconds(value: str) -> float:
    """The number, or NaN (which no rule accepts) when it is none."""
    try:
        return float(value)
    except ValueError:
        return float("nan")
