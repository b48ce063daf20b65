"""How alike units are, as substitution costs of an alignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluate.resegment.align import Ints, Substitution

_GAP = 1 << 16
"""One edit, or one unit without partner: above all differences that decide between alignments of equal cost."""
_PUNCTUATION = frozenset(".!?,;:-()。！？，；：—（）ー")


def edit_costs(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[Substitution, int]:
    """Levenshtein without regard to case, as mWER segmentation minimises it (Matusov et al. 2005).

    Of alignments with equally many edits, those with more equal pairs are better.
    """
    hypothesis = [unit.casefold() for unit in hypothesis]
    numbers = {unit: i for i, unit in enumerate(dict.fromkeys(hypothesis))}
    hypothesis_ids = _ids(hypothesis, numbers)

    def row(i: int) -> Ints:
        differs = np.not_equal(hypothesis_ids, numbers.get(reference[i].casefold(), -1))
        return np.where(differs, np.int64(_GAP), np.int64(-1))

    return row, _GAP


def soft_costs(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[Substitution, int]:
    """Pairs are worth the Jaccard likeness of their character sets and gaps cost nothing (Polák et al. 2025).

    As costs: 2·(1 − likeness) gaps for a pair against one for each unit without partner. Of equals, those with
    more pairs are better. Punctuation never pairs with anything else.
    """
    rows = {unit: i for i, unit in enumerate(dict.fromkeys(reference))}
    columns = {unit: i for i, unit in enumerate(dict.fromkeys(hypothesis))}
    likeness = _jaccard(list(rows), list(columns))  # (reference types, hypothesis types)
    costs = np.rint(2 * _GAP * (1 - likeness)).astype(np.int32) - 1
    hypothesis_ids = _ids(hypothesis, columns)

    def row(i: int) -> Ints:
        return np.take(costs[rows[reference[i]]], hypothesis_ids).astype(np.int64)

    return row, _GAP


def _ids(units: Sequence[str], numbers: dict[str, int]) -> NDArray[np.intp]:
    return np.array([numbers[unit] for unit in units], dtype=np.intp)


def _jaccard(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float32]:
    """Shared characters over all characters of each pair; −1 for punctuation with anything else."""
    characters = {
        char: i for i, char in enumerate(sorted({char for unit in (*left, *right) for char in unit}))
    }
    a, b = _incidence(left, characters), _incidence(right, characters)
    shared = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - shared
    likeness: NDArray[np.float32] = shared / np.maximum(union, np.float32(1))
    marks = [np.array([unit in _PUNCTUATION for unit in units], dtype=bool) for units in (left, right)]
    likeness[marks[0][:, None] != marks[1][None, :]] = -1
    return likeness


def _incidence(units: Sequence[str], characters: dict[str, int]) -> NDArray[np.float32]:
    """Which characters each unit holds, shape (units, characters)."""
    incidence = np.zeros((len(units), len(characters)), dtype=np.float32)
    for i, unit in enumerate(units):
        incidence[i, [characters[char] for char in unit]] = 1
    return incidence
