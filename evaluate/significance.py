"""Systems compared at equal latency, with paired bootstrap intervals over the utterances.

Equal chunk sizes are no fair comparison: a system that guesses early is faster at the same chunk. Every
resample of the utterances recomputes each point's BLEU and LAAL together, and interpolates again (Koehn 2004,
on both axes).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate.config import EvaluateConfig
from evaluate.curves import ScoredPoint, bleu_at
from evaluate.quality import bleu_from_statistics

Curves = Mapping[str, Sequence[ScoredPoint]]
Floats = NDArray[np.float64]

_ROUND_STEPS_MS = (10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000)
_MAX_GRID_POINTS = 9
MIN_SHARE_INSIDE = 0.95
"""A latency is reported only if at least this share of the resamples had every curve reach it."""
_BLOCK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference and its percentile interval [low, high]."""

    diff: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resamples:
    """LAAL and BLEU of every system's points on the same resampled test sets, shape (resamples, points) each."""

    laal_ms: Mapping[str, Floats]
    bleu: Mapping[str, Floats]

    def bleu_at(self, system: str, grid: Floats) -> Floats:
        """A system's BLEU at the latencies of the grid, shape (resamples, grid); nan outside its curve."""
        rows = zip(self.laal_ms[system], self.bleu[system], strict=True)
        return np.array([bleu_at(laal_ms, bleu, grid) for laal_ms, bleu in rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualLatency:
    """Every system's BLEU at one LAAL, and how far the treatment is from each other system.

    `resamples_outside` counts the resamples in which some curve did not reach this latency; they are left
    out.
    """

    laal_ms: float
    bleu: dict[str, float]
    differences: dict[str, Difference]
    resamples_outside: int

    def to_json(self) -> dict[str, Any]:
        """`differences` become keys such as `simulsa_minus_base` beside the others."""
        named = {name: asdict(difference) for name, difference in self.differences.items()}
        return {
            "laal_ms": self.laal_ms,
            "bleu": self.bleu,
            **named,
            "resamples_outside": self.resamples_outside,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EqualLatency:
        """The comparison that `to_json` wrote."""
        differences = {key: Difference(**value[key]) for key in value if "_minus_" in key}
        rest = {key: value[key] for key in value if key not in differences}
        return cls(**rest, differences=differences)


def compare_at_equal_latency(
    curves: Curves, config: EvaluateConfig, *, treatment: str = "simulsa"
) -> list[EqualLatency]:
    """BLEU of every system at equal LAAL, inside the overlap of their curves; empty when there is none."""
    _check_paired(curves)
    grid = _grid(curves, config.laal_points)
    if grid.size == 0:
        return []
    measured = {name: bleu_at(*scores(points), grid) for name, points in curves.items()}
    drawn = resample(curves, config)
    resampled = {name: drawn.bleu_at(name, grid) for name in curves}
    inside = np.all([np.isfinite(values) for values in resampled.values()], axis=0)  # (resamples, grid)
    reported = [i for i in range(grid.size) if inside[:, i].mean() >= MIN_SHARE_INSIDE]
    return [_compare(i, grid, measured, resampled, inside, config, treatment) for i in reported]


def _compare(
    i: int,
    grid: Floats,
    measured: Mapping[str, Floats],
    resampled: Mapping[str, Floats],
    inside: NDArray[np.bool_],
    config: EvaluateConfig,
    treatment: str,
) -> EqualLatency:
    kept = inside[:, i]
    differences = {
        f"{treatment}_minus_{name}": difference(
            float(measured[treatment][i] - measured[name][i]),
            resampled[treatment][kept, i] - resampled[name][kept, i],
            config.confidence,
        )
        for name in measured
        if name != treatment
    }
    return EqualLatency(
        laal_ms=float(grid[i]),
        bleu={name: float(values[i]) for name, values in measured.items()},
        differences=differences,
        resamples_outside=int((~kept).sum()),
    )


def difference(measured: float, resampled: Floats, confidence: float) -> Difference:
    """A measured difference between the percentiles of what the resamples gave, which are all finite."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Difference(diff=measured, low=float(low), high=float(high))


def scores(points: Sequence[ScoredPoint]) -> tuple[Floats, Floats]:
    """LAAL and BLEU of a curve's points, shapes (points,)."""
    laal_ms = np.array([scored.point.laal_ms for scored in points])
    bleu = np.array([float(bleu_from_statistics(scored.bleu_stats.sum(axis=0))) for scored in points])
    return laal_ms, bleu


def _grid(curves: Curves, laal_points: Sequence[float] | None) -> Floats:
    """The declared latencies, or round ones where the systems stream, that every curve reaches."""
    span = _overlap(curves)
    if laal_points is not None:
        return np.array([point for point in laal_points if span[0] <= point <= span[1]])
    streamed = {name: [s for s in points if s.point.chunk_ms is not None] for name, points in curves.items()}
    streamed_span = _overlap(streamed)
    return np.array(round_points(*(streamed_span if streamed_span[0] < streamed_span[1] else span)))


def _overlap(curves: Curves) -> tuple[float, float]:
    """The lowest and highest LAAL that every curve reaches; a reversed pair where there is none."""
    latencies = [_finite_laal(points) for points in curves.values()]
    if not all(latencies):
        return math.inf, -math.inf
    return max(map(min, latencies)), min(map(max, latencies))


def _finite_laal(points: Sequence[ScoredPoint]) -> list[float]:
    return [scored.point.laal_ms for scored in points if math.isfinite(scored.point.laal_ms)]


def round_points(low: float, high: float, at_most: int = _MAX_GRID_POINTS) -> list[float]:
    """Round latencies within the bounds, no more than asked for; none where the bounds are reversed."""
    if not low <= high:
        return []
    for step in _ROUND_STEPS_MS:
        points = range(math.ceil(low / step) * step, math.floor(high / step) * step + 1, step)
        if len(points) <= at_most:
            break
    return [float(point) for point in points]


def resample(curves: Curves, config: EvaluateConfig) -> Resamples:
    """Score every point on the resampled test sets that the configuration's seed draws."""
    _check_paired(curves)
    n = next(iter(curves.values()))[0].laal_ms.size
    blocks: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in curves}
    for weights in _weights(n, config):
        for name, points in curves.items():
            blocks[name].append(_resampled_scores(points, weights))
    return Resamples(
        laal_ms={name: np.concatenate([laal_ms for laal_ms, _ in rows]) for name, rows in blocks.items()},
        bleu={name: np.concatenate([bleu for _, bleu in rows]) for name, rows in blocks.items()},
    )


def _weights(n: int, config: EvaluateConfig) -> Iterator[Floats]:
    """How often each utterance is drawn, in blocks of shape (up to 128 resamples, utterances)."""
    generator = np.random.Generator(np.random.PCG64(config.bootstrap_seed))
    for start in range(0, config.bootstrap_resamples, _BLOCK):
        size = min(_BLOCK, config.bootstrap_resamples - start)
        yield generator.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)


def _resampled_scores(points: Sequence[ScoredPoint], weights: Floats) -> tuple[Floats, Floats]:
    """Mean LAAL and corpus BLEU of every resample, each of shape (resamples, points)."""
    laal = np.stack([scored.laal_ms for scored in points], axis=1)  # (utterances, points)
    counted = weights @ np.isfinite(laal)
    with np.errstate(invalid="ignore"):
        mean_ms = np.where(counted > 0, weights @ np.nan_to_num(laal) / counted, np.nan)
    bleu = [bleu_from_statistics(weights @ scored.bleu_stats) for scored in points]
    return mean_ms, np.stack(bleu, axis=1)


def _check_paired(curves: Curves) -> None:
    sizes = {scored.laal_ms.size for points in curves.values() for scored in points}
    if len(sizes) != 1:
        raise ValueError(
            f"every point must score the same utterances, got test sets of {sorted(sizes)} utterances"
        )
