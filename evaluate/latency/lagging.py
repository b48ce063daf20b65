"""How far each unit lags behind an ideal speaker: AL (Ma et al. 2019) and LAAL (Papi et al. 2022).

Delays are milliseconds of source audio heard when a unit was completed, or times on a computation-aware
clock. The reference length is the number of real units: white space is never one, so double spaces change
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def average_lagging(delays_ms: Sequence[float], source_ms: float, reference_units: int) -> float:
    """AL = (1/T) Σ_{i<=T} [d_i − (i−1)·|X|/|Y*|], T the first i with d_i >= |X|; nan without delays."""
    return _checked_lagging(delays_ms, source_ms, max(reference_units, 1))


def length_adaptive_lagging(delays_ms: Sequence[float], source_ms: float, reference_units: int) -> float:
    """LAAL is AL with max(|Y|, |Y*|), so that saying too much never looks fast; nan without delays."""
    return _checked_lagging(delays_ms, source_ms, max(reference_units, len(delays_ms), 1))


def unit_lags(delays_ms: Sequence[float], source_ms: float, reference_units: int) -> list[float]:
    """Every unit's d_i − (i−1)·|X|/max(|Y|, |Y*|), in ms: the terms of LAAL, none of them cut off."""
    check_delays(delays_ms, source_ms)
    return lags_behind(delays_ms, source_ms, max(reference_units, len(delays_ms), 1))


def check_delays(delays_ms: Sequence[float], source_ms: float) -> None:
    """Raise ValueError where there is no audio, or time runs backwards; negative delays are legal."""
    if not source_ms > 0:
        raise ValueError(f"source_ms={source_ms} must be positive: an utterance without audio has no latency")
    for before, after in pairwise(delays_ms):
        if after < before:
            raise ValueError(f"delays must never decrease, got {before} ms and then {after} ms")


def lags_behind(times_ms: Sequence[float], source_ms: float, target_units: int) -> list[float]:
    """Each time's lag behind `target_units` spread over the audio; times may decrease here."""
    ideal_ms_per_unit = source_ms / target_units
    return [time - i * ideal_ms_per_unit for i, time in enumerate(times_ms)]


def mean_lag(times_ms: Sequence[float], source_ms: float, target_units: int) -> float:
    """The mean lag up to the first unit that heard all of the audio; times may decrease here."""
    heard_all = next((i for i, time in enumerate(times_ms) if time >= source_ms), len(times_ms) - 1)
    lags = lags_behind(times_ms[: heard_all + 1], source_ms, target_units)
    return math.fsum(lags) / len(lags)


def _checked_lagging(delays_ms: Sequence[float], source_ms: float, target_units: int) -> float:
    if not delays_ms:
        return math.nan
    check_delays(delays_ms, source_ms)
    return mean_lag(delays_ms, source_ms, target_units)
