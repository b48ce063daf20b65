"""Where the segments of a reference begin in a hypothesis: one exact alignment of the whole recording.

The dynamic programme runs a row per reference unit, vectorised over the hypothesis. Each cell carries its cost
and, in the low bits, where its segment began, so nothing is traced back: O(|Y|·|Y*|) time and
O(|Y|·segments) memory, 2 bytes a cell for up to 65,535 units. This module knows no text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Origins = NDArray[np.uint16] | NDArray[np.uint32]
Substitution = Callable[[int], Ints]
"""The cost of pairing a reference unit, by its index, with each hypothesis unit, shape (hypothesis units,)."""


def segment_bounds(
    substitution: Substitution, gap: int, hypothesis_units: int, segment_units: Sequence[int]
) -> list[int]:
    """The hypothesis index at which each segment begins, and the end: one more bound than segments.

    `segment_units` are the reference lengths; a segment of length 0 gets no units, unless all are empty: then
    the first gets all. `gap` is the cost of a unit without partner. Of alignments of equal cost the one whose
    segments begin latest is taken, so what nothing pairs with at a boundary ends the segment before it.
    """
    spoken = [i for i, length in enumerate(segment_units) if length]
    begins = _trace(substitution, gap, hypothesis_units, [segment_units[i] for i in spoken])
    bounds = [hypothesis_units] * (len(segment_units) + 1)
    for i, begin in zip(spoken, begins, strict=True):
        bounds[i] = begin
    bounds[0] = 0
    for i in range(len(segment_units) - 1, 0, -1):
        if not segment_units[i]:
            bounds[i] = bounds[i + 1]
    return bounds


def _trace(substitution: Substitution, gap: int, n: int, lengths: Sequence[int]) -> list[int]:
    """Where each segment begins, following the stored origins back from the end."""
    end, begins = n, []
    for origins in reversed(_origins(substitution, gap, n, lengths)):
        end = int(origins[end])
        begins.append(end)
    return begins[::-1]


def _origins(substitution: Substitution, gap: int, n: int, lengths: Sequence[int]) -> list[Origins]:
    """Per segment, for every hypothesis end, where the best alignment began it, shape (n + 1,).

    A key is (cost − column · gap) << bits | (n − origin): without the ramp an insertion costs nothing, and the
    smaller of two equal costs is the later origin.
    """
    bits = max(n.bit_length(), 1)
    origin_bits = n - np.arange(n + 1, dtype=np.int64)
    step = np.int64(gap) << bits
    keys = np.full(n + 1, n, dtype=np.int64)  # (n + 1,), the first segment begins at 0
    origins: list[Origins] = []
    row = 0
    for length in lengths:
        for i in range(row, row + length):
            paired = keys[:-1] + (substitution(i) << bits) - step
            keys += step
            np.minimum(keys[1:], paired, out=keys[1:])
            np.minimum.accumulate(keys, out=keys)
        row += length
        begins = n - (keys & ((1 << bits) - 1))
        origins.append(begins.astype(np.uint16) if n < 1 << 16 else begins.astype(np.uint32))
        keys = (keys >> bits << bits) | origin_bits
    return origins
