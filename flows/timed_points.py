"""The timed part of a run's scores, as the report shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from evaluate.report import TimedPoint

COUNTS = ("chunk_ms", "n_utterances", "n_failed")


def timed_points(timed: Mapping[str, Any]) -> list[TimedPoint]:
    """Every timed point, in the order of systems and chunk sizes."""
    return [
        TimedPoint(
            system=system,
            chunk_ms=row["chunk_ms"],
            n_utterances=row["n_utterances"],
            scores={name: _number(value) for name, value in row.items() if name not in COUNTS},
        )
        for system, rows in timed["curves"].items()
        for row in rows
    ]


def timed_facts(timed: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the measurement depends on: the machine, the warm-up, and what a late step hears."""
    return list(_facts(timed))


def _facts(timed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in timed["hardware"].items():
        yield name, str(value)
    yield "warm-up utterances", f"{timed['warm_up']}, not measured"
    yield "a late step hears", "all audio so far" if timed["coalesce"] else "its own audio only"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
