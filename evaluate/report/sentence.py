"""How one output compares with its references: which units are right, which are missing, and its chrF.

The marks are for the eye, not for a score: case and punctuation do not count, and what moved counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from sacrebleu.metrics import CHRF

from evaluate.monotonicity import plain_units

_CHRF: Any = CHRF()


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Per unit of the output whether the reference has it there, and the reference's units that are missing."""

    right: tuple[bool, ...]
    missing: tuple[str, ...]

    @property
    def errors(self) -> int:
        """Units that are wrong or missing."""
        return self.right.count(False) + len(self.missing)


def sentence_chrf(text: str, references: Sequence[str]) -> float:
    """chrF of one output on 0..100, 0 where nothing was written."""
    return float(_CHRF.sentence_score(text, list(references)).score)


def mark_errors(units: Sequence[str], references: Sequence[Sequence[str]]) -> Marked:
    """The marks against the reference that leaves the fewest errors, the first of equals."""
    return min((_against(units, reference) for reference in references), key=lambda marked: marked.errors)


def _against(units: Sequence[str], reference: Sequence[str]) -> Marked:
    matcher = SequenceMatcher(None, plain_units(units), plain_units(reference), autojunk=False)
    right, found = [False] * len(units), [False] * len(reference)
    for block in matcher.get_matching_blocks():
        right[block.a : block.a + block.size] = [True] * block.size
        found[block.b : block.b + block.size] = [True] * block.size
    missing = tuple(unit for unit, there in zip(reference, found, strict=True) if not there)
    return Marked(right=tuple(right), missing=missing)
