"""Charts as geometry: where every line, marker and tick lies, ready for a template to draw as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evaluate.curves import CurvePoint
from evaluate.report.axis import Scale, Tick, make_axis
from evaluate.report.spread import Band, PointSpread, Spread
from evaluate.report.verdict import signed
from evaluate.significance import EqualLatency

WIDTH, HEIGHT = 560, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 30, 46
_WHOLE_STRIP = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A measured point: its place, the ends of its error bar if it has one, and what it says when touched."""

    x: float
    y: float
    tip: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One system's markers, the polyline through the connected ones, and the outline of its confidence band.

    `readings` are what the pointer reads off between the markers: (latency, value, low, high) in data units.
    """

    name: str
    line: str
    markers: tuple[Marker, ...]
    band: str = ""
    readings: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture of WIDTH x HEIGHT units; `plot` is its data area as (left, top, right, bottom).

    `x_range` are the latencies at the left and right end of that area, where curves can be read between points.
    """

    width: int
    height: int
    plot: tuple[float, float, float, float]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_range: tuple[float, float] | None = None
    whole_at: float | None = None
    zero_at: float | None = None


def quality_latency_chart(
    curves: Mapping[str, Sequence[CurvePoint]], ceiling: CurvePoint | None, spread: Spread | None = None
) -> Chart | None:
    """BLEU over LAAL of every system; whole utterances stand in a strip of their own at the right.

    With a spread, points have error bars and curves confidence bands.

    None where no streamed point has a latency.
    """
    spots = {name: _spots(name, points, spread) for name, points in curves.items()}
    known = [s for shown in spots.values() for s in shown if s.is_streamed] + _ceiling(ceiling)
    if not known:
        return None
    has_strip = any(s.point.chunk_ms is None for shown in spots.values() for s in shown)
    right = WIDTH - _RIGHT - (_WHOLE_STRIP if has_strip else 0)
    x = make_axis([s.point.laal_ms for s in known], _LEFT, right)
    heights = [height for shown in spots.values() for s in shown for height in s.heights]
    y = make_axis([0.0, *heights, *(s.point.bleu for s in known)], HEIGHT - _BOTTOM, _TOP)
    whole_at = right + _WHOLE_STRIP / 2 + 4 if has_strip else None
    series = [
        _curve(
            name,
            spots[name],
            x.at,
            y.at,
            (whole_at or 0.0) + shift,
            spread.bands.get(name) if spread else None,
        )
        for name, shift in zip(curves, _side_by_side(len(curves), 15), strict=True)
    ]
    series += [_curve("ceiling", [s], x.at, y.at, 0.0, None) for s in _ceiling(ceiling)]
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        plot=(_LEFT, _TOP, right, HEIGHT - _BOTTOM),
        x_ticks=x.ticks,
        y_ticks=y.ticks,
        x_label="LAAL (ms): later →",
        y_label="BLEU",
        x_range=x.range,
        series=tuple(series),
        whole_at=whole_at,
    )


def difference_chart(points: Sequence[EqualLatency]) -> Chart | None:
    """BLEU differences at equal LAAL with their intervals; None without any."""
    if not points:
        return None
    names = list(points[0].differences)
    x = make_axis([point.laal_ms for point in points], _LEFT + 12, WIDTH - _RIGHT - 12)
    ends = [end for point in points for d in point.differences.values() for end in (d.low, d.high)]
    y = make_axis([0.0, *ends], HEIGHT - _BOTTOM, _TOP)
    series = []
    for name, shift in zip(names, _side_by_side(len(names), 7), strict=True):
        markers = [_bar(point, name, x.at(point.laal_ms) + shift, y.at) for point in points]
        series.append(Series(name=name.split("_minus_")[-1], line="", markers=tuple(markers)))
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        plot=(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM),
        x_ticks=x.ticks,
        y_ticks=y.ticks,
        x_label="LAAL (ms): later →",
        y_label="Δ BLEU",
        series=tuple(series),
        zero_at=y.at(0.0),
    )


def _bar(point: EqualLatency, name: str, x: float, y_at: Scale) -> Marker:
    d = point.differences[name]
    tip = f"{name.replace('_minus_', ' − ')} at LAAL {point.laal_ms:.0f} ms: {signed(d.diff)} BLEU"
    tip += f" [{signed(d.low)}, {signed(d.high)}]"
    return Marker(x=x, y=y_at(d.diff), tip=tip, low=y_at(d.low), high=y_at(d.high))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """A point on its way into the picture."""

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
        ends = [self.spread.bleu.low, self.spread.bleu.high] if self.spread else []
        return [self.point.bleu, *ends] if self.is_drawn else []


def _spots(name: str, points: Sequence[CurvePoint], spread: Spread | None) -> list[_Spot]:
    around = spread.points[name] if spread else [None] * len(points)
    return [
        _Spot(point=point, tip=_tip(name, point, its), spread=its)
        for point, its in zip(points, around, strict=True)
    ]


def _ceiling(point: CurvePoint | None) -> list[_Spot]:
    """The ceiling is drawn where it lies, though it knows no chunk size."""
    if point is None or not math.isfinite(point.laal_ms):
        return []
    tip = f"ceiling, the truth's own alignment: {_values(point, None)}"
    return [_Spot(point=replace(point, chunk_ms=0), tip=tip)]


def _curve(
    name: str, spots: Sequence[_Spot], x_at: Scale, y_at: Scale, whole_x: float, band: Band | None
) -> Series:
    streamed = sorted((s for s in spots if s.is_streamed), key=lambda s: s.point.laal_ms)
    markers = [_marker(s, x_at(s.point.laal_ms), y_at) for s in streamed]
    return Series(
        name=name,
        line=_polyline([(marker.x, marker.y) for marker in markers]),
        markers=(*markers, *(_marker(s, whole_x, y_at) for s in spots if s.point.chunk_ms is None)),
        band=_outline(band, x_at, y_at) if band else "",
        readings=tuple(zip(band.laal_ms, band.bleu, band.low, band.high, strict=True)) if band else (),
    )


def _marker(spot: _Spot, x: float, y_at: Scale) -> Marker:
    low, high = (y_at(spot.spread.bleu.low), y_at(spot.spread.bleu.high)) if spot.spread else (None, None)
    return Marker(x=x, y=y_at(spot.point.bleu), tip=spot.tip, low=low, high=high)


def _outline(band: Band, x_at: Scale, y_at: Scale) -> str:
    there = [(x_at(laal_ms), y_at(high)) for laal_ms, high in zip(band.laal_ms, band.high, strict=True)]
    back = [(x_at(laal_ms), y_at(low)) for laal_ms, low in zip(band.laal_ms, band.low, strict=True)]
    return _polyline(there + back[::-1])


def _polyline(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _side_by_side(count: int, gap: float) -> list[float]:
    """Shifts that keep `count` markers of one place apart, centred on it."""
    return [gap * (i - (count - 1) / 2) for i in range(count)]


def _tip(name: str, point: CurvePoint, spread: PointSpread | None) -> str:
    heard = "whole utterance" if point.chunk_ms is None else f"{point.chunk_ms} ms chunks"
    return f"{name}, {heard}: {_values(point, spread)}"


def _values(point: CurvePoint, spread: PointSpread | None) -> str:
    bleu, laal_ms = f"BLEU {point.bleu:.1f}", f"LAAL {signed(point.laal_ms, 0, plus=False)} ms"
    if spread is None:
        return f"{bleu} at {laal_ms}"
    ends_ms = (signed(end, 0, plus=False) for end in (spread.laal_ms.low, spread.laal_ms.high))
    return f"{bleu} [{spread.bleu.low:.1f}, {spread.bleu.high:.1f}] at {laal_ms} [{', '.join(ends_ms)}]"
