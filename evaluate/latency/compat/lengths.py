"""What the toolkits take for the length of a reference, and the metrics that depend on it.

Times may decrease here: on simulstream's clock they do, and the toolkits score them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluate.latency.dal import mean_spoken_lag
from evaluate.latency.lagging import lags_behind, mean_lag
from evaluate.latency.timed import TimedOutput
from evaluate.latency.yaal import mean_before


def split_length(output: TimedOutput) -> int:
    """Words cut at every single space, so empty ones count and "" has one; characters include spaces."""
    if output.reference is None:
        return len(output.delays_ms)
    return len(output.reference.split(" ") if output.unit == "word" else output.reference.strip())


def lagging_scores(times_ms: Sequence[float], source_ms: float, reference_length: int) -> dict[str, float]:
    """AL, LAAL, DAL, and AP divided by the reference length, so that saying too much raises it over 1."""
    if not times_ms:
        return dict.fromkeys(("AL", "LAAL", "AP", "DAL"), math.nan)
    length = max(reference_length, 1)
    return {
        "AL": mean_lag(times_ms, source_ms, length),
        "LAAL": mean_lag(times_ms, source_ms, max(length, len(times_ms))),
        "AP": math.fsum(times_ms) / (source_ms * reference_length) if reference_length else math.nan,
        "DAL": mean_spoken_lag(times_ms, source_ms),
    }


def yaal_score(
    times_ms: Sequence[float], source_ms: float, reference_length: int, end_ms: float
) -> dict[str, float]:
    """YAAL with its cutoff at `end_ms`."""
    lags_ms = lags_behind(times_ms, source_ms, max(reference_length, len(times_ms), 1))
    return {"YAAL": mean_before(times_ms, lags_ms, end_ms)}
