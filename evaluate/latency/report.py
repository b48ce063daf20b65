"""AL and LAAL of a corpus, as every point of a curve carries them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluate.latency.lagging import average_lagging, length_adaptive_lagging


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
