"""Monotonicity: whether the words that an output shares with a reference come in the reference's order.

The normalised Kendall's tau (NKT) inside RIBES (Isozaki et al. 2010, EMNLP), by its definition. It
needs no word aligner: words pair up with equal words of the reference. So 1 is as monotone as the reference, not more.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Grams = Counter[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordOrder:
    """The order of one output against the reference that shares most of its units.

    `monotonicity` is the share of pairs of matched units in the reference's order: 1 the same, 0 reversed, nan with
    fewer than two. `matched` is the share of the output's units that have a match, nan without output: an order of few
    says little.
    """

    monotonicity: float
    matched: float


def word_order(units: Sequence[str], references: Sequence[Sequence[str]]) -> WordOrder:
    """NKT and the share of matched units; of references that match equally many, the one in the most similar order."""
    plain = plain_units(units)
    positions = [matched_positions(plain, plain_units(reference)) for reference in references]
    best = max(positions, key=lambda found: (len(found), np.nan_to_num(kendall(found))))
    return WordOrder(monotonicity=kendall(best), matched=len(best) / len(units) if units else math.nan)


def kendall(positions: Sequence[int]) -> float:
    """The share of pairs that ascend, (τ + 1) / 2, of distinct positions; nan with fewer than two."""
    if len(positions) < 2:
        return math.nan
    at = np.array(positions)
    ascending = sum(int((at[i + 1 :] > at[i]).sum()) for i in range(len(at)))
    return 2 * ascending / (len(at) * (len(at) - 1))


def matched_positions(units: Sequence[str], reference: Sequence[str]) -> list[int]:
    """Where the reference has the units that are found in it beyond doubt, in the order of the output.

    A unit is found if it occurs once on both sides, or else if it does together with its right or its left neighbour.
    As two units may claim one place through different neighbours, the first has it.
    """
    return list(dict.fromkeys(_claims(units, reference)))


def plain_units(units: Sequence[str]) -> list[str]:
    """Units without case and punctuation; one that is all punctuation stays what it is."""
    return [_letters(unit) or unit for unit in units]


def _claims(units: Sequence[str], reference: Sequence[str]) -> Iterator[int]:
    ours, theirs = _grams(units), _grams(reference)
    places = {gram: i for n in (1, 2) for i, gram in enumerate(_runs(reference, n))}
    for i, unit in enumerate(units):
        for gram, offset in (
            ((unit,), 0),
            (tuple(units[i : i + 2]), 0),
            (tuple(units[max(0, i - 1) : i + 1]), 1),
        ):
            if ours[gram] == theirs[gram] == 1 and len(gram) > offset:
                yield places[gram] + offset
                break


def _grams(units: Sequence[str]) -> Grams:
    return Counter(gram for n in (1, 2) for gram in _runs(units, n))


def _runs(units: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return (tuple(units[i : i + n]) for i in range(len(units) - n + 1))


def _letters(unit: str) -> str:
    kept = (sign for sign in unit.casefold() if not unicodedata.category(sign).startswith("P"))
    return "".join(kept)
