"""How far other test utterances would have moved the result: bands, fronts, and chunk sizes compared.

Everything here is read off the same paired resamples as the comparison at equal latency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluate.config import EvaluateConfig
from evaluate.curves import ScoredPoint, bleu_at
from evaluate.significance import (
    MIN_SHARE_INSIDE,
    Curves,
    Difference,
    Floats,
    Resamples,
    difference,
    resample,
    round_points,
    scores,
)

_MAX_BAND_POINTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Percentiles of the resamples; both nan where the value does not exist."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSpread:
    """The intervals of one point, and the share of resamples in which it is on the Pareto front.

    The front holds the streamed points of all systems that no other one beats: none is at most as late and at
    least as good, and better in one of the two. `on_front` is what was measured.
    """

    bleu: Interval
    laal_ms: Interval
    on_front: bool
    front_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One curve's BLEU at fixed latencies between its streamed points, with pointwise intervals."""

    laal_ms: tuple[float, ...]
    bleu: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SameChunk:
    """The treatment minus a rival at one chunk size, on both axes.

    `both` is the share of resamples in which the treatment has more BLEU and no more LAAL.
    """

    chunk_ms: int | None
    rival: str
    bleu: Difference
    laal_ms: Difference
    both: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """All intervals of a set of curves; `points` stand in the order of each curve."""

    points: Mapping[str, tuple[PointSpread, ...]]
    bands: Mapping[str, Band]
    same_chunk: tuple[SameChunk, ...]


def measure_spread(curves: Curves, config: EvaluateConfig, *, treatment: str | None = "simulsa") -> Spread:
    """Resample the utterances once, and read every interval off it; no treatment, no comparison by chunk size."""
    measured, drawn = _measured(curves), resample(curves, config)
    bands = {name: _band(name, points, drawn, config.confidence) for name, points in curves.items()}
    compared = (
        [
            _compare((treatment, i), (rival, k), curves, measured, drawn, config.confidence)
            for rival, i, k in _same_chunks(curves, treatment)
        ]
        if treatment
        else []
    )
    return Spread(
        points=_points(curves, measured, drawn, config.confidence),
        bands={name: band for name, band in bands.items() if band},
        same_chunk=tuple(same for same in compared if same),
    )


def pareto_front(laal_ms: Floats, bleu: Floats) -> NDArray[np.bool_]:
    """Which points no other one beats, both of shape (..., points); a point without latency is beaten."""
    no_later = laal_ms[..., None, :] <= laal_ms[..., :, None]  # (..., points, rivals)
    no_worse = bleu[..., None, :] >= bleu[..., :, None]
    better = (laal_ms[..., None, :] < laal_ms[..., :, None]) | (bleu[..., None, :] > bleu[..., :, None])
    beaten = (no_later & no_worse & better).any(axis=-1)
    return np.asarray(np.isfinite(laal_ms) & ~beaten)


def _measured(curves: Curves) -> Resamples:
    """The test set itself, as a single resample of shape (1, points)."""
    found = {name: scores(points) for name, points in curves.items()}
    return Resamples(
        laal_ms={name: laal_ms[None] for name, (laal_ms, _) in found.items()},
        bleu={name: bleu[None] for name, (_, bleu) in found.items()},
    )


def _points(
    curves: Curves, measured: Resamples, drawn: Resamples, confidence: float
) -> dict[str, tuple[PointSpread, ...]]:
    front, fronts = _front_of(curves, measured), _front_of(curves, drawn)
    return {
        name: tuple(
            PointSpread(
                bleu=_interval(drawn.bleu[name][:, i], confidence),
                laal_ms=_interval(drawn.laal_ms[name][:, i], confidence),
                on_front=bool(front[name][0, i]),
                front_share=float(fronts[name][:, i].mean()),
            )
            for i in range(len(points))
        )
        for name, points in curves.items()
    }


def _front_of(curves: Curves, drawn: Resamples) -> dict[str, NDArray[np.bool_]]:
    """The common front of all systems; whole utterances are not streamed, so they neither beat nor stay."""
    streamed = np.array([s.point.chunk_ms is not None for points in curves.values() for s in points])
    laal_ms = np.concatenate([drawn.laal_ms[name] for name in curves], axis=1)  # (resamples, points of all)
    bleu = np.concatenate([drawn.bleu[name] for name in curves], axis=1)
    front = pareto_front(np.where(streamed, laal_ms, np.nan), bleu)
    ends = np.cumsum([len(points) for points in curves.values()])[:-1]
    return dict(zip(curves, np.split(front, ends, axis=1), strict=True))


def _band(name: str, points: Sequence[ScoredPoint], drawn: Resamples, confidence: float) -> Band | None:
    """None where the curve has no two streamed points, or hardly any resample reaches a latency."""
    laal_ms, bleu = scores(points)
    streamed = np.array([scored.point.chunk_ms is not None for scored in points])
    known = laal_ms[streamed & np.isfinite(laal_ms)]
    if known.size < 2:
        return None
    grid = np.array(round_points(known.min(), known.max(), _MAX_BAND_POINTS))
    if grid.size == 0:
        return None
    resampled = drawn.bleu_at(name, grid)  # (resamples, grid)
    reached = np.isfinite(resampled).mean(axis=0) >= MIN_SHARE_INSIDE
    if not reached.any():
        return None
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(resampled[:, reached], [tail, 1 - tail], axis=0)
    at = grid[reached]
    return Band(
        laal_ms=tuple(at.tolist()),
        bleu=tuple(bleu_at(laal_ms, bleu, at).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def _same_chunks(curves: Curves, treatment: str) -> Iterator[tuple[str, int, int]]:
    """Every rival, and where the treatment and it have a point at the same streamed chunk size."""
    at = {name: {s.point.chunk_ms: i for i, s in enumerate(points)} for name, points in curves.items()}
    for rival in (name for name in curves if name != treatment and treatment in curves):
        for chunk_ms, i in at[treatment].items():
            if chunk_ms is not None and chunk_ms in at[rival]:
                yield rival, i, at[rival][chunk_ms]


def _compare(
    ours: tuple[str, int],
    theirs: tuple[str, int],
    curves: Curves,
    measured: Resamples,
    drawn: Resamples,
    confidence: float,
) -> SameChunk | None:
    """None where one of the two has no latency in some resample."""
    bleu = _minus(drawn.bleu, ours, theirs)
    laal_ms = _minus(drawn.laal_ms, ours, theirs)
    if not np.isfinite(laal_ms).all():
        return None
    return SameChunk(
        chunk_ms=curves[ours[0]][ours[1]].point.chunk_ms,
        rival=theirs[0],
        bleu=difference(float(_minus(measured.bleu, ours, theirs)[0]), bleu, confidence),
        laal_ms=difference(float(_minus(measured.laal_ms, ours, theirs)[0]), laal_ms, confidence),
        both=float(((bleu > 0) & (laal_ms <= 0)).mean()),
    )


def _minus(values: Mapping[str, Floats], ours: tuple[str, int], theirs: tuple[str, int]) -> Floats:
    return values[ours[0]][:, ours[1]] - values[theirs[0]][:, theirs[1]]


def _interval(values: Floats, confidence: float) -> Interval:
    """Percentiles of the resamples that have a value."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Interval(low=np.nan, high=np.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))
