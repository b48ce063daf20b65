"""The table of all points: scores, intervals, and the IWSLT regimes each point falls into."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluate.curves import CurvePoint
from evaluate.latency.scores import Scores
from evaluate.regimes import Rules, regime_of
from evaluate.report.data import ReportData
from evaluate.report.spread import PointSpread


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A point under one edition's rules: its latency in the metric that decides, and its regime.

    `latency_ms` is None where it is not known, `regime` where it lies beyond all regimes or is not known.
    """

    rules: Rules
    latency_ms: float | None
    regime: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One system at one chunk size, or under a policy at one setting of its knob, with all that is known of it."""

    system: str
    policy: str = ""
    knob: str = ""
    point: CurvePoint
    badges: tuple[Badge, ...]
    spread: PointSpread | None
    scores: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeBest:
    """The best BLEU of each system that a regime admits, as its row; None where it admits no point."""

    rules: Rules
    regime: str
    at_most_ms: float
    best: dict[str, TableRow | None]


def table_rows(data: ReportData) -> list[TableRow]:
    """All points of all systems, in the order of the curves."""
    return list(_rows(data))


def policy_rows(data: ReportData) -> list[TableRow]:
    """All points of all systems under all policies, in the order of the curves."""
    return list(_policy_rows(data))


def best_in_regimes(rows: Sequence[TableRow], rules: Sequence[Rules]) -> list[RegimeBest]:
    """Per edition and regime, what each system reaches within its latency; whole utterances do not stream."""
    systems = dict.fromkeys(row.system for row in rows)
    return [
        RegimeBest(
            rules=edition,
            regime=regime.name,
            at_most_ms=regime.at_most_ms,
            best={name: _best(rows, name, edition, regime.at_most_ms) for name in systems},
        )
        for edition in rules
        for regime in edition.regimes
    ]


def _rows(data: ReportData) -> Iterator[TableRow]:
    for name, points in data.curves.items():
        spreads = data.spread.points[name] if data.spread else [None] * len(points)
        found = data.scores.get(name) or [{} for _ in points]
        for point, spread, scores in zip(points, spreads, found, strict=True):
            yield TableRow(
                system=name,
                point=point,
                badges=_badges(point, scores, data.rules),
                spread=spread,
                scores=scores,
            )


def _policy_rows(data: ReportData) -> Iterator[TableRow]:
    for curve in data.policies:
        spreads = data.policy_spread.points[curve.name] if data.policy_spread else [None] * len(curve.points)
        for knob, point, spread, scores in zip(curve.knobs, curve.points, spreads, curve.scores, strict=True):
            badges = _badges(point, scores, data.rules)
            yield TableRow(
                system=curve.system, policy=curve.policy, knob=knob,
                point=point, badges=badges, spread=spread, scores=scores,
            )  # fmt: skip


def _badges(point: CurvePoint, scores: Scores, rules: Sequence[Rules]) -> tuple[Badge, ...]:
    return tuple(_badge(point, scores, edition) for edition in rules)


def _badge(point: CurvePoint, scores: Scores, rules: Rules) -> Badge:
    """Whole utterances get no regime: nothing was streamed."""
    value = point.laal_ms if rules.metric == "LAAL" else scores.get(rules.metric, math.nan)
    if point.chunk_ms is None or not math.isfinite(value):
        return Badge(rules=rules, latency_ms=None, regime=None)
    regime = regime_of(value, rules)
    return Badge(rules=rules, latency_ms=value, regime=regime.name if regime else None)


def _best(rows: Sequence[TableRow], system: str, rules: Rules, at_most_ms: float) -> TableRow | None:
    admitted = [
        row
        for row in rows
        for badge in row.badges
        if row.system == system
        and badge.rules == rules
        and badge.latency_ms is not None
        and badge.latency_ms <= at_most_ms
    ]
    return max(admitted, key=lambda row: row.point.bleu, default=None)
