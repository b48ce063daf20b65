"""Latency of one utterance and of a corpus: AL (Ma et al. 2019) and LAAL (Papi et al. 2022).

Delays are milliseconds of source audio heard when a unit was completed. The reference length is the number
of real units: white space is never one, so double spaces change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


def average_lagging(delays_ms: Sequence[float], source_ms: float, reference_units: int) -> float:
    """AL = (1/T) Σ_{i<=T} [d_i − (i−1)·|X|/|Y*|], T the first i with d_i >= |X|; nan without delays."""
    return _lagging(delays_ms, source_ms, max(reference_units, 1))


def length_adaptive_lagging(delays_ms: Sequence[float], source_ms: float, reference_units: int) -> float:
    """LAAL is AL with max(|Y|, |Y*|), so that saying too much never looks fast; nan without delays."""
    return _lagging(delays_ms, source_ms, max(reference_units, len(delays_ms), 1))


def _lagging(delays_ms: Sequence[float], source_ms: float, target_units: int) -> float:
    if not delays_ms:
        return math.nan
    _check(delays_ms, source_ms)
    ideal_ms_per_unit = source_ms / target_units
    heard_all = next((i for i, delay in enumerate(delays_ms) if delay >= source_ms), len(delays_ms) - 1)
    lags = [delay - i * ideal_ms_per_unit for i, delay in enumerate(delays_ms[: heard_all + 1])]
    return math.fsum(lags) / len(lags)


def _check(delays_ms: Sequence[float], source_ms: float) -> None:
    if not source_ms > 0:
        raise ValueError(f"source_ms={source_ms} must be positive: an utterance without audio has no latency")
    for before, after in pairwise(delays_ms):
        if after < before:
            raise ValueError(f"delays must never decrease, got {before} ms and then {after} ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """Latency of a corpus, in ms of source audio.

    `al_ms` and `laal_ms` are plain means that leave out the `n_empty` empty hypotheses (nan if all are
    empty); `laal_penalised_ms` counts each of those as if all of it came at the end, LAAL = |X|.
    """

    al_ms: float
    laal_ms: float
    laal_penalised_ms: float
    n_empty: int


def report_latency(
    delays_ms: Sequence[Sequence[float]], source_ms: Sequence[float], reference_units: Sequence[int]
) -> LatencyReport:
    """Latency of a corpus from each utterance's delays, duration and reference length."""
    rows = list(zip(delays_ms, source_ms, reference_units, strict=True))
    al = [average_lagging(*row) for row in rows]
    laal = [length_adaptive_lagging(*row) for row in rows]
    penalised = [
        source if math.isnan(value) else value for value, source in zip(laal, source_ms, strict=True)
    ]
    return LatencyReport(
        al_ms=_mean([value for value in al if not math.isnan(value)]),
        laal_ms=_mean([value for value in laal if not math.isnan(value)]),
        laal_penalised_ms=_mean(penalised),
        n_empty=sum(map(math.isnan, laal)),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
