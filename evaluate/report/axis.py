"""Axes with round ticks: where a value lies in a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluate.report.verdict import signed

_TICK_STEPS = [m * 10.0**e for e in range(-1, 5) for m in (1, 2, 5)]
_SLACK = 1e-6
"""A BLEU of 100.00000000000004 needs no tick above 100."""

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled position on an axis, in picture units."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Round ticks, the values at both ends, and the map from value to picture units."""

    ticks: tuple[Tick, ...]
    range: tuple[float, float]
    at: Scale


def make_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis from `start` to `end` in picture units, with a few round ticks around all values."""
    low, high = min(values), max(values)
    step = next((s for s in _TICK_STEPS if (high - low) / s <= 6), _TICK_STEPS[-1])
    first, last = math.floor(low / step + _SLACK), math.ceil(high / step - _SLACK)
    if first == last:
        last += 1

    def place(value: float) -> float:
        return start + (value / step - first) / (last - first) * (end - start)

    digits = 1 if step < 1 else 0
    ticks = tuple(
        Tick(at=place(k * step), label=signed(k * step, digits, plus=False)) for k in range(first, last + 1)
    )
    return Axis(ticks=ticks, range=(first * step, last * step), at=place)
