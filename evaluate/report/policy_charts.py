"""The curves of all policies: together in one picture, and a small picture per policy on the same axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluate.curves import CurvePoint, bleu_at
from evaluate.report.charts import Chart, Curve, Frame, draw_curves
from evaluate.report.data import PolicyCurve
from evaluate.report.spots import ceiling_spots, policy_spots
from evaluate.report.spread import Spread
from evaluate.significance import round_points

PANEL = Frame(width=310, height=250, left=38, right=22, top=36, bottom=46, marker=0.7)
TOGETHER = Frame(marker=0.8)
_MAX_COLUMNS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A curve's BLEU at each latency of a grid; None where it has no points on both sides."""

    curve: PolicyCurve
    bleu: tuple[float | None, ...]


def policy_chart(
    curves: Sequence[PolicyCurve], ceiling: CurvePoint | None, spread: Spread | None
) -> Chart | None:
    """Every system under every policy, and the front of all; bands but no error bars. None without a latency."""
    drawn = _curves(curves, spread)
    spots = [spot for curve in drawn for spot in curve.spots]
    if not any(spot.is_streamed for spot in spots):
        return None
    around = spots + ceiling_spots(ceiling)
    return draw_curves(drawn, ceiling, around=around, frame=TOGETHER, bars=False, front=front(curves, spread))


def policy_panels(
    curves: Sequence[PolicyCurve], ceiling: CurvePoint | None, spread: Spread | None
) -> list[Chart]:
    """A chart per policy, all on the axes that hold every streamed point; the front of all policies is in each.

    Here the shape of a marker says the system once more, as in pictures without policies.
    """
    drawn = _curves(curves, spread, streamed_only=True)
    around = [spot for curve in drawn for spot in curve.spots] + ceiling_spots(ceiling)
    stairs = front(curves, spread)
    return [
        draw_curves(
            [replace(curve, policy="") for curve in drawn if curve.policy == policy],
            ceiling,
            around=around,
            frame=PANEL,
            bars=False,
            front=stairs,
            title=policy,
        )
        for policy in dict.fromkeys(curve.policy for curve in drawn if curve.spots)
    ]


def front(curves: Sequence[PolicyCurve], spread: Spread | None) -> list[tuple[float, float]]:
    """The measured front as stairs in data units, (LAAL, BLEU): from each latency on, the best so far."""
    if spread is None:
        return []
    best = sorted(
        (point.laal_ms, point.bleu)
        for curve in curves
        for point, its in zip(curve.points, spread.points[curve.name], strict=True)
        if its.on_front
    )
    return list(_stairs(best))


def latency_grid(curves: Sequence[PolicyCurve]) -> list[float]:
    """Round latencies over all that the streamed points reach."""
    reached = [
        p.laal_ms for c in curves for p in c.points if p.chunk_ms is not None and math.isfinite(p.laal_ms)
    ]
    return round_points(min(reached), max(reached), _MAX_COLUMNS) if reached else []


def readings(curves: Sequence[PolicyCurve], grid: Sequence[float]) -> list[Reading]:
    """Every curve read at the same latencies, interpolated between its streamed points."""
    return [Reading(curve=curve, bleu=tuple(_read(curve, grid))) for curve in curves]


def _read(curve: PolicyCurve, grid: Sequence[float]) -> Iterator[float | None]:
    streamed = [point for point in curve.points if point.chunk_ms is not None]
    laal_ms = np.array([point.laal_ms for point in streamed])
    bleu = np.array([point.bleu for point in streamed])
    for value in bleu_at(laal_ms, bleu, np.array(grid)):
        yield float(value) if math.isfinite(value) else None


def _stairs(best: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    reached: float | None = None
    for laal_ms, bleu in best:
        if reached is not None:
            yield laal_ms, reached
        yield laal_ms, bleu
        reached = bleu


def _curves(
    curves: Sequence[PolicyCurve], spread: Spread | None, *, streamed_only: bool = False
) -> list[Curve]:
    return [
        Curve(
            name=curve.name,
            system=curve.system,
            policy=curve.policy,
            spots=[s for s in policy_spots(curve, spread) if s.is_streamed or not streamed_only],
            band=spread.bands.get(curve.name) if spread else None,
        )
        for curve in curves
    ]
