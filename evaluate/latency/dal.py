"""Differentiable average lagging: every unit also costs the time it takes to say it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluate.latency.lagging import check_delays


def differentiable_average_lagging(delays_ms: Sequence[float], source_ms: float) -> float:
    """DAL: d'_i = max(d_i, d'_{i−1} + |X|/|Y|), the mean of d'_i − (i−1)·|X|/|Y|; nan without delays.

    Cherry and Foster 2019 (arXiv 1906.00048). The reference has no part in it.
    """
    if not delays_ms:
        return math.nan
    check_delays(delays_ms, source_ms)
    return mean_spoken_lag(delays_ms, source_ms)


def mean_spoken_lag(times_ms: Sequence[float], source_ms: float) -> float:
    """The same for times that may decrease, as they do on the clock of simulstream."""
    ms_per_unit = source_ms / len(times_ms)
    lags, said_ms = [], -math.inf
    for i, time in enumerate(times_ms):
        said_ms = max(time, said_ms + ms_per_unit)
        lags.append(said_ms - i * ms_per_unit)
    return math.fsum(lags) / len(lags)
