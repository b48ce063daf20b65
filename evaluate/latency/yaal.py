"""YAAL and LongYAAL: lagging over the units that were written while there was still something to hear.

Polák et al. 2025 (arXiv 2509.17349).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

from evaluate.latency.lagging import unit_lags


def yaal(delays_ms: Sequence[float], source_ms: float, reference_units: int) -> float:
    """YAAL = the mean of d_i − (i−1)·|X|/max(|Y|, |Y*|) over the units with d_i < |X|; nan if there are none."""
    return long_yaal(delays_ms, source_ms, reference_units, source_ms)


def long_yaal(
    delays_ms: Sequence[float],
    source_ms: float,
    reference_units: int,
    recording_end_ms: float = math.inf,
) -> float:
    """LongYAAL: YAAL of a segment that counts every unit written before its recording ended.

    `recording_end_ms` is measured from the beginning of the segment, as the delays are; a segment whose units
    all came later has none that count: nan.
    """
    return mean_before(delays_ms, unit_lags(delays_ms, source_ms, reference_units), recording_end_ms)


def mean_before(times_ms: Sequence[float], lags_ms: Sequence[float], end_ms: float) -> float:
    """The mean lag of the units in front of the first that came at the end or later; nan if there are none."""
    counted = len(list(takewhile(lambda time: time < end_ms, times_ms)))
    return math.fsum(lags_ms[:counted]) / counted if counted else math.nan
