"""What a run tells while it works: progress per stage, and how long each stage took."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Progress = Callable[[int, int], None]


class Reporter(Protocol):
    """Hears about stages; the console draws them, tests ignore them."""

    def started(self, stage: str, part: str) -> None: ...

    def advanced(self, stage: str, part: str, done: int, total: int) -> None: ...

    def waiting(self, stage: str, part: str, reason: str) -> None: ...

    def finished(self, stage: str, part: str, *, cached: bool) -> None: ...


class SilentReporter:
    """A reporter that says nothing."""

    def started(self, stage: str, part: str) -> None: ...

    def advanced(self, stage: str, part: str, done: int, total: int) -> None: ...

    def waiting(self, stage: str, part: str, reason: str) -> None: ...

    def finished(self, stage: str, part: str, *, cached: bool) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTiming:
    """Wall time from a stage's first start to its last end, its parts, and how many of them were hits."""

    name: str
    seconds: float
    shards: int
    cached: int

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "shards": self.shards,
            "cached": self.cached,
        }


class StageClock:
    """Collects start, end and cache hits of every part of every stage, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: dict[str, list[tuple[float, float, bool]]] = {}

    def add(self, stage: str, start: float, end: float, *, cached: bool) -> None:
        with self._lock:
            self._spans.setdefault(stage, []).append((start, end, cached))

    def timings(self) -> list[StageTiming]:
        """One entry per stage, in the order in which the stages first started."""
        with self._lock:
            spans = {name: list(parts) for name, parts in self._spans.items()}
        entries = [_timing(name, parts) for name, parts in spans.items()]
        return sorted(entries, key=lambda entry: min(s for s, _, _ in spans[entry.name]))


def _timing(name: str, parts: list[tuple[float, float, bool]]) -> StageTiming:
    start, end = min(p[0] for p in parts), max(p[1] for p in parts)
    return StageTiming(name=name, seconds=end - start, shards=len(parts), cached=sum(p[2] for p in parts))
