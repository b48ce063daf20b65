"""Systems compared at equal latency, with paired bootstrap intervals over the utterances.

Equal chunk sizes are no fair comparison: a system that guesses early is faster at the same chunk. Every
resample of the utterances recomputes each point's BLEU and LAAL, and interpolates again.
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
_MIN_SHARE_INSIDE = 0.95
"""A latency is reported only if at least this share of the resamples had every curve reach it."""
_BLOCK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A BLEU difference and its percentile interval [low, high]."""

    diff: float
    low: float
    high: float


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
    measured = {name: bleu_at(*_scores(points), grid) for name, points in curves.items()}
    resampled = _resample(curves, grid, config)
    inside = np.all([np.isfinite(values) for values in resampled.values()], axis=0)  # (resamples, grid)
    reported = [i for i in range(grid.size) if inside[:, i].mean() >= _MIN_SHARE_INSIDE]
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
    tail = (1 - config.confidence) / 2
    kept = inside[:, i]
    differences = {}
    for name in measured:
        if name != treatment:
            spread = resampled[treatment][kept, i] - resampled[name][kept, i]
            low, high = np.quantile(spread, [tail, 1 - tail])
            diff = measured[treatment][i] - measured[name][i]
            differences[f"{treatment}_minus_{name}"] = Difference(
                diff=float(diff), low=float(low), high=float(high)
            )
    return EqualLatency(
        laal_ms=float(grid[i]),
        bleu={name: float(values[i]) for name, values in measured.items()},
        differences=differences,
        resamples_outside=int((~kept).sum()),
    )


def _scores(points: Sequence[ScoredPoint]) -> tuple[Floats, Floats]:
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
    return np.array(_round_points(*(streamed_span if streamed_span[0] < streamed_span[1] else span)))


def _overlap(curves: Curves) -> tuple[float, float]:
    """The lowest and highest LAAL that every curve reaches; a reversed pair where there is none."""
    latencies = [_finite_laal(points) for points in curves.values()]
    if not all(latencies):
        return math.inf, -math.inf
    return max(map(min, latencies)), min(map(max, latencies))


def _finite_laal(points: Sequence[ScoredPoint]) -> list[float]:
    return [scored.point.laal_ms for scored in points if math.isfinite(scored.point.laal_ms)]


def _round_points(low: float, high: float) -> list[float]:
    if not low <= high:
        return []
    for step in _ROUND_STEPS_MS:
        points = range(math.ceil(low / step) * step, math.floor(high / step) * step + 1, step)
        if len(points) <= _MAX_GRID_POINTS:
            break
    return [float(point) for point in points]


def _resample(curves: Curves, grid: Floats, config: EvaluateConfig) -> dict[str, Floats]:
    """BLEU at the grid for every resample, shape (resamples, grid) per system; nan outside a curve."""
    n = next(iter(curves.values()))[0].laal_ms.size
    blocks: dict[str, list[Floats]] = {name: [] for name in curves}
    for weights in _weights(n, config):
        for name, points in curves.items():
            laal_ms, bleu = _resampled_scores(points, weights)
            rows = [bleu_at(*row, grid) for row in zip(laal_ms, bleu, strict=True)]
            blocks[name].append(np.array(rows))
    return {name: np.concatenate(rows) for name, rows in blocks.items()}


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
