"""Charts as geometry: where every line, marker and tick lies, ready for a template to draw as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluate.curves import CurvePoint
from evaluate.report.axis import Axis, Scale, Tick, make_axis
from evaluate.report.spots import Spot, ceiling_spots, chunk_spots
from evaluate.report.spread import Band, Spread
from evaluate.report.verdict import signed
from evaluate.significance import EqualLatency

Corners = Sequence[tuple[float, float]]


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
    """One curve's markers, the polyline through the connected ones, and the outline of its confidence band.

    The system gives its colour; the policy, where there are several, its dashes and the shape of its markers.
    `readings` are what the pointer reads off between the markers: (latency, value, low, high) in data units.
    """

    name: str
    system: str
    policy: str = ""
    line: str
    markers: tuple[Marker, ...]
    band: str = ""
    readings: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture of width x height units; `plot` is its data area as (left, top, right, bottom).

    `x_range` are the latencies at the left and right end of that area, where curves can be read between points.
    `front` is a polyline: the best BLEU that is reached by each latency.
    """

    width: int
    height: int
    plot: tuple[float, float, float, float]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    title: str = ""
    front: str = ""
    x_range: tuple[float, float] | None = None
    whole_at: float | None = None
    zero_at: float | None = None
    marker: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The size of a picture and the margins around its data area, in picture units; `marker` scales the markers."""

    width: int = 560
    height: int = 380
    left: int = 46
    right: int = 16
    top: int = 30
    bottom: int = 46
    whole_strip: int = 62
    marker: float = 1.0

    def y_axis(self, values: Sequence[float]) -> Axis:
        return make_axis([0.0, *values], self.height - self.bottom, self.top)


FULL = Frame()


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The spots of one curve and its band, before they have a place."""

    name: str
    system: str
    policy: str = ""
    spots: Sequence[Spot]
    band: Band | None = None


def quality_latency_chart(
    curves: Mapping[str, Sequence[CurvePoint]], ceiling: CurvePoint | None, spread: Spread | None = None
) -> Chart | None:
    """BLEU over LAAL of every system; whole utterances stand in a strip of their own at the right.

    With a spread, points have error bars and curves confidence bands.

    None where no streamed point has a latency.
    """
    bands = spread.bands if spread else {}
    drawn = [
        Curve(name=name, system=name, spots=chunk_spots(name, points, spread), band=bands.get(name))
        for name, points in curves.items()
    ]
    spots = [spot for curve in drawn for spot in curve.spots] + ceiling_spots(ceiling)
    return draw_curves(drawn, ceiling, around=spots) if any(s.is_streamed for s in spots) else None


def draw_curves(
    curves: Sequence[Curve],
    ceiling: CurvePoint | None,
    *,
    around: Sequence[Spot],
    frame: Frame = FULL,
    bars: bool = True,
    front: Corners = (),
    title: str = "",
) -> Chart:
    """The curves on axes that hold the spots `around`, of which one at least is streamed.

    `front` is given in data units, (latency, value).
    """
    right = frame.width - frame.right
    whole_at = None
    with_whole = [curve.name for curve in curves if any(s.point.chunk_ms is None for s in curve.spots)]
    if with_whole:
        right -= frame.whole_strip
        whole_at = right + frame.whole_strip / 2 + 4
    x = make_axis([s.point.laal_ms for s in around if s.is_streamed], frame.left, right)
    y = frame.y_axis([height for spot in around for height in spot.heights])
    whole_x = dict(zip(with_whole, _side_by_side(whole_at or 0.0, len(with_whole), 15), strict=True))
    series = [_series(curve, x.at, y.at, whole_x.get(curve.name, 0.0), bars=bars) for curve in curves]
    known = Curve(name="ceiling", system="ceiling", spots=ceiling_spots(ceiling))
    series += [_series(known, x.at, y.at, 0.0, bars=bars)] if known.spots else []
    return Chart(
        width=frame.width,
        height=frame.height,
        plot=(frame.left, frame.top, right, frame.height - frame.bottom),
        x_ticks=x.ticks,
        y_ticks=y.ticks,
        x_label="LAAL (ms): later →",
        y_label="BLEU",
        x_range=x.range,
        series=tuple(series),
        title=title,
        front=_polyline([(x.at(laal_ms), y.at(bleu)) for laal_ms, bleu in front]),
        whole_at=whole_at,
        marker=frame.marker,
    )


def difference_chart(points: Sequence[EqualLatency]) -> Chart | None:
    """BLEU differences at equal LAAL with their intervals; None without any."""
    if not points:
        return None
    names = list(points[0].differences)
    x = make_axis([point.laal_ms for point in points], FULL.left + 12, FULL.width - FULL.right - 12)
    y = FULL.y_axis([end for point in points for d in point.differences.values() for end in (d.low, d.high)])
    series = []
    for i, name in enumerate(names):
        places = [_side_by_side(x.at(point.laal_ms), len(names), 7)[i] for point in points]
        markers = [_bar(point, name, at, y.at) for point, at in zip(points, places, strict=True)]
        rival = name.split("_minus_")[-1]
        series.append(Series(name=rival, system=rival, line="", markers=tuple(markers)))
    return Chart(
        width=FULL.width,
        height=FULL.height,
        plot=(FULL.left, FULL.top, FULL.width - FULL.right, FULL.height - FULL.bottom),
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


def _series(curve: Curve, x_at: Scale, y_at: Scale, whole_x: float, *, bars: bool) -> Series:
    streamed = sorted((s for s in curve.spots if s.is_streamed), key=lambda s: s.point.laal_ms)
    whole = [s for s in curve.spots if s.point.chunk_ms is None]
    places = [*((s, x_at(s.point.laal_ms)) for s in streamed), *((s, whole_x) for s in whole)]
    band = curve.band
    return Series(
        name=curve.name,
        system=curve.system,
        policy=curve.policy,
        line=_polyline([(x_at(s.point.laal_ms), y_at(s.point.bleu)) for s in streamed]),
        markers=tuple(_marker(spot, x, y_at, bars=bars) for spot, x in places),
        band=_outline(band, x_at, y_at) if band else "",
        readings=tuple(zip(band.laal_ms, band.bleu, band.low, band.high, strict=True)) if band else (),
    )


def _marker(spot: Spot, x: float, y_at: Scale, *, bars: bool) -> Marker:
    ends = (y_at(spot.spread.bleu.low), y_at(spot.spread.bleu.high)) if bars and spot.spread else (None, None)
    return Marker(x=x, y=y_at(spot.point.bleu), tip=spot.tip, low=ends[0], high=ends[1])


def _outline(band: Band, x_at: Scale, y_at: Scale) -> str:
    there = [(x_at(laal_ms), y_at(high)) for laal_ms, high in zip(band.laal_ms, band.high, strict=True)]
    back = [(x_at(laal_ms), y_at(low)) for laal_ms, low in zip(band.laal_ms, band.low, strict=True)]
    return _polyline(there + back[::-1])


def _polyline(corners: Corners) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _side_by_side(centre: float, count: int, gap: float) -> list[float]:
    """Places that keep `count` markers of one place apart, centred on it."""
    return [centre + gap * (i - (count - 1) / 2) for i in range(count)]
