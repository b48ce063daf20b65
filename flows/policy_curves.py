"""The curves of all policies for the report, put together from what was planned, scored and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evaluate.config import PlannedCurve
from evaluate.curves import CurvePoint, ScoredPoint
from evaluate.export import MeasuredUtterance, point_scores, scored_point
from evaluate.latency.scores import Scores
from evaluate.report import PolicyCurve

Measured = Mapping[str, Sequence[Sequence[MeasuredUtterance]]]
"""Per curve, those of the policies beside SimulSA too, and point, every utterance with its scores."""


def evidence_of(
    curves: Mapping[str, Sequence[CurvePoint]], measured: Measured, tgt_lang: str
) -> dict[str, list[ScoredPoint]]:
    """What a bootstrap resamples."""
    return {
        name: [
            scored_point(point, utterances, tgt_lang)
            for point, utterances in zip(points, measured[name], strict=True)
        ]
        for name, points in curves.items()
    }


def policy_curves(
    planned: Sequence[PlannedCurve], scores: Mapping[str, Any], measured: Measured
) -> list[PolicyCurve]:
    """Every curve where SimulSA has other policies beside it, policy by policy; else none."""
    if not scores.get("policies"):
        return []
    scored = scores["curves"] | scores["policies"]
    curves = [_policy_curve(curve, scored[curve.name], measured[curve.name]) for curve in planned]
    order = list(dict.fromkeys(curve.policy for curve in curves))
    return sorted(curves, key=lambda curve: order.index(curve.policy))


def _policy_curve(
    planned: PlannedCurve,
    scored: Sequence[Mapping[str, Any]],
    measured: Sequence[Sequence[MeasuredUtterance]],
) -> PolicyCurve:
    return PolicyCurve(
        name=planned.name,
        system=planned.system,
        policy=planned.name.partition("+")[2] or "simulsa",
        knobs=tuple(point.label for point in planned.points),
        points=tuple(_point(row) for row in scored),
        scores=tuple(_scores(row, found) for row, found in zip(scored, measured, strict=True)),
    )


def _point(row: Mapping[str, Any]) -> CurvePoint:
    beside = ("knob", "normalized_erasure")
    return CurvePoint.from_json({name: value for name, value in row.items() if name not in beside})


def _scores(row: Mapping[str, Any], measured: Sequence[MeasuredUtterance]) -> Scores:
    """The mean of every metric; erasure is the score stage's own, over the units of all utterances together."""
    erasure = row.get("normalized_erasure", 0.0)
    return point_scores(measured) | {"normalized_erasure": math.nan if erasure is None else erasure}
