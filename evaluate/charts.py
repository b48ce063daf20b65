"""Charts as geometry: where every line, marker and tick lies, ready for a template to draw as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evaluate.curves import CurvePoint
from evaluate.significance import EqualLatency
from evaluate.verdict import signed

WIDTH, HEIGHT = 560, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 30, 46
_WHOLE_STRIP = 62
_TICK_STEPS = [m * 10.0**e for e in range(-1, 5) for m in (1, 2, 5)]

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled position on an axis, in picture units."""

    at: float
    label: str


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
    """One system's markers and the polyline through the connected ones."""

    name: str
    line: str
    markers: tuple[Marker, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture of WIDTH x HEIGHT units; `plot` is its data area as (left, top, right, bottom)."""

    width: int
    height: int
    plot: tuple[float, float, float, float]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    whole_at: float | None = None
    zero_at: float | None = None


def quality_latency_chart(
    curves: Mapping[str, Sequence[CurvePoint]], ceiling: CurvePoint | None
) -> Chart | None:
    """BLEU over LAAL of every system; whole utterances stand in a strip of their own at the right.

    None where no streamed point has a latency.
    """
    streamed = {name: [p for p in points if _is_streamed(p)] for name, points in curves.items()}
    whole = {name: [p for p in points if p.chunk_ms is None] for name, points in curves.items()}
    known = [p for points in streamed.values() for p in points] + ([ceiling] if ceiling else [])
    if not known:
        return None
    has_strip = any(whole.values())
    right = WIDTH - _RIGHT - (_WHOLE_STRIP if has_strip else 0)
    x_ticks, x_at = _axis([p.laal_ms for p in known], _LEFT, right)
    bleus = [p.bleu for p in known] + [p.bleu for points in whole.values() for p in points]
    y_ticks, y_at = _axis([0.0, *bleus], HEIGHT - _BOTTOM, _TOP)
    whole_at = right + _WHOLE_STRIP / 2 + 4 if has_strip else None
    series = []
    for name, shift in zip(curves, _side_by_side(len(curves), 15), strict=True):
        whole_x = whole_at + shift if whole_at is not None else None
        series.append(_curve(name, streamed[name], whole[name], x_at, y_at, whole_x))
    if ceiling:
        marker = Marker(x=x_at(ceiling.laal_ms), y=y_at(ceiling.bleu), tip=_tip("ceiling", ceiling))
        series.append(Series(name="ceiling", line="", markers=(marker,)))
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        plot=(_LEFT, _TOP, right, HEIGHT - _BOTTOM),
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        x_label="LAAL (ms): later →",
        y_label="BLEU",
        series=tuple(series),
        whole_at=whole_at,
    )


def difference_chart(points: Sequence[EqualLatency]) -> Chart | None:
    """BLEU differences at equal LAAL with their intervals; None without any."""
    if not points:
        return None
    names = list(points[0].differences)
    x_ticks, x_at = _axis([point.laal_ms for point in points], _LEFT + 12, WIDTH - _RIGHT - 12)
    ends = [end for point in points for d in point.differences.values() for end in (d.low, d.high)]
    y_ticks, y_at = _axis([0.0, *ends], HEIGHT - _BOTTOM, _TOP)
    series = []
    for name, shift in zip(names, _side_by_side(len(names), 7), strict=True):
        markers = [_bar(point, name, x_at(point.laal_ms) + shift, y_at) for point in points]
        series.append(Series(name=name.split("_minus_")[-1], line="", markers=tuple(markers)))
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        plot=(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM),
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        x_label="LAAL (ms): later →",
        y_label="Δ BLEU",
        series=tuple(series),
        zero_at=y_at(0.0),
    )


def _bar(point: EqualLatency, name: str, x: float, y_at: Scale) -> Marker:
    d = point.differences[name]
    tip = f"{name.replace('_minus_', ' − ')} at LAAL {point.laal_ms:.0f} ms: {signed(d.diff)} BLEU"
    tip += f" [{signed(d.low)}, {signed(d.high)}]"
    return Marker(x=x, y=y_at(d.diff), tip=tip, low=y_at(d.low), high=y_at(d.high))


def _curve(
    name: str,
    streamed: Sequence[CurvePoint],
    whole: Sequence[CurvePoint],
    x_at: Scale,
    y_at: Scale,
    whole_x: float | None,
) -> Series:
    ordered = sorted(streamed, key=lambda p: p.laal_ms)
    markers = [Marker(x=x_at(p.laal_ms), y=y_at(p.bleu), tip=_tip(name, p)) for p in ordered]
    line = " ".join(f"{marker.x:.1f},{marker.y:.1f}" for marker in markers)
    if whole_x is not None:
        markers += [Marker(x=whole_x, y=y_at(p.bleu), tip=_tip(name, p)) for p in whole]
    return Series(name=name, line=line, markers=tuple(markers))


def _side_by_side(count: int, gap: float) -> list[float]:
    """Shifts that keep `count` markers of one place apart, centred on it."""
    return [gap * (i - (count - 1) / 2) for i in range(count)]


def _is_streamed(point: CurvePoint) -> bool:
    return point.chunk_ms is not None and math.isfinite(point.laal_ms)


def _tip(name: str, point: CurvePoint) -> str:
    if name == "ceiling":
        heard = "the truth's own alignment"
    else:
        heard = (
            f"{name}, whole utterance" if point.chunk_ms is None else f"{name}, {point.chunk_ms} ms chunks"
        )
    return f"{heard}: BLEU {point.bleu:.1f} at LAAL {signed(point.laal_ms, 0, plus=False)} ms"


def _axis(values: Sequence[float], start: float, end: float) -> tuple[tuple[Tick, ...], Scale]:
    """Round ticks around all values, and the map from value to picture units."""
    low, high = min(values), max(values)
    step = next((s for s in _TICK_STEPS if (high - low) / s <= 6), _TICK_STEPS[-1])
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        last += 1

    def place(value: float) -> float:
        return start + (value / step - first) / (last - first) * (end - start)

    digits = 1 if step < 1 else 0
    ticks = tuple(
        Tick(at=place(k * step), label=signed(k * step, digits, plus=False)) for k in range(first, last + 1)
    )
    return ticks, place
