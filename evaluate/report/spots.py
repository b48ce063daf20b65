"""Measured points on their way into a picture: whether they are drawn, and what they say when touched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluate.curves import CurvePoint
from evaluate.latency.scores import Scores
from evaluate.report.data import PolicyCurve
from evaluate.report.spread import PointSpread, Spread
from evaluate.report.verdict import signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A point, what it says, and its intervals where they are known."""

    point: CurvePoint
    tip: str
    spread: PointSpread | None = None

    @property
    def is_streamed(self) -> bool:
        return self.point.chunk_ms is not None and math.isfinite(self.point.laal_ms)

    @property
    def is_drawn(self) -> bool:
        return self.point.chunk_ms is None or self.is_streamed

    @property
    def heights(self) -> list[float]:
        """How high and low it reaches in the picture."""
        ends = [self.spread.bleu.low, self.spread.bleu.high] if self.spread else []
        return [self.point.bleu, *ends] if self.is_drawn else []


def chunk_spots(name: str, points: Sequence[CurvePoint], spread: Spread | None) -> list[Spot]:
    """The points of a system's own curve; each says its chunk size."""
    return [
        Spot(point=point, tip=f"{name}, {_heard(point)}: {_values(point, its)}", spread=its)
        for point, its in zip(points, _around(name, points, spread), strict=True)
    ]


def policy_spots(curve: PolicyCurve, spread: Spread | None) -> list[Spot]:
    """The points of a system under a policy; each says the setting of its knob, and what it took back."""
    around = _around(curve.name, curve.points, spread)
    return [
        Spot(
            point=point,
            tip=f"{curve.system}, {curve.policy}, {knob}: {_values(point, its)}{_erased(scores)}",
            spread=its,
        )
        for knob, point, scores, its in zip(curve.knobs, curve.points, curve.scores, around, strict=True)
    ]


def ceiling_spots(point: CurvePoint | None) -> list[Spot]:
    """The ceiling is drawn where it lies, though it knows no chunk size."""
    if point is None or not math.isfinite(point.laal_ms):
        return []
    tip = f"ceiling, the truth's own alignment: {_values(point, None)}"
    return [Spot(point=replace(point, chunk_ms=0), tip=tip)]


def _around(name: str, points: Sequence[CurvePoint], spread: Spread | None) -> Sequence[PointSpread | None]:
    return spread.points[name] if spread else [None] * len(points)


def _heard(point: CurvePoint) -> str:
    return "whole utterance" if point.chunk_ms is None else f"{point.chunk_ms} ms chunks"


def _erased(scores: Scores) -> str:
    erasure = scores.get("normalized_erasure", 0.0)
    return f"; {erasure:.2f} units taken back for one that stayed" if erasure > 0 else ""


def _values(point: CurvePoint, spread: PointSpread | None) -> str:
    bleu, laal_ms = f"BLEU {point.bleu:.1f}", f"LAAL {signed(point.laal_ms, 0, plus=False)} ms"
    if spread is None:
        return f"{bleu} at {laal_ms}"
    ends_ms = (signed(end, 0, plus=False) for end in (spread.laal_ms.low, spread.laal_ms.high))
    return f"{bleu} [{spread.bleu.low:.1f}, {spread.bleu.high:.1f}] at {laal_ms} [{', '.join(ends_ms)}]"
