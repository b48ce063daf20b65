"""When output began, when it ended, and how the lags of single units are spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LAG_PERCENTILES = (50, 90, 99)


def start_offset(delays_ms: Sequence[float]) -> float:
    """StartOffset = d_1, in ms; nan without delays."""
    return delays_ms[0] if delays_ms else math.nan


def end_offset(delays_ms: Sequence[float], source_ms: float) -> float:
    """EndOffset = d_|Y| − |X|, in ms: negative when the last unit came before the audio ended."""
    return delays_ms[-1] - source_ms if delays_ms else math.nan


def lag_percentiles(lags_ms: Sequence[float]) -> dict[str, float]:
    """`lag_p50`, `lag_p90` and `lag_p99` of the lags of all units, in ms, linear between ranks; nan without any."""
    values = np.percentile(lags_ms, LAG_PERCENTILES) if len(lags_ms) else [math.nan] * len(LAG_PERCENTILES)
    return {f"lag_p{rank}": float(value) for rank, value in zip(LAG_PERCENTILES, values, strict=True)}
