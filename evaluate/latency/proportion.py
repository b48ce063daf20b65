"""Average proportion: which share of the audio had been heard, averaged over the units."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluate.latency.lagging import check_delays


def average_proportion(delays_ms: Sequence[float], source_ms: float) -> float:
    """AP = Σ d_i / (|X|·|Y|), no unit of time (Cho and Esipova 2016, arXiv 1606.02012); nan without delays.

    On delays within the audio it lies in 0..1; on a computation-aware clock it may exceed 1.
    """
    if not delays_ms:
        return math.nan
    check_delays(delays_ms, source_ms)
    return math.fsum(delays_ms) / (source_ms * len(delays_ms))
