"""The stages of a run: their order, who hears about them, and how long, how fast and how dear each one was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from tasks.store import Manifest, StoreError

Progress = Callable[[int, int], None]

STAGES = (
    "select", "truncate", "generate", "estimate", "assemble", "dataset", "finetune", "stream", "stream_timed",
    "neural", "score",
)  # fmt: skip
"""Every stage of a run, in the order in which one builds on another."""

MODEL_STAGES = ("generate", "finetune", "stream", "stream_timed")
"""The stages that run the model. Those of one run never overlap, so requests and GPU time can be told apart."""


def stages_from(first: str) -> tuple[str, ...]:
    """`first` and the stages that follow it; StoreError lists the stages when it is none of them."""
    if first not in STAGES:
        raise StoreError(f"there is no stage {first!r}: the stages are {', '.join(STAGES)}")
    return STAGES[STAGES.index(first) :]


class Reporter(Protocol):
    """Hears about the parts of stages, always in the thread that works on the part.

    `asked` are the requests of the whole run so far, `issued` and `replayed`.
    """

    def started(self, stage: str, part: str) -> None: ...

    def advanced(self, stage: str, part: str, done: int, total: int) -> None: ...

    def waiting(self, stage: str, part: str, reason: str) -> None: ...

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None: ...

    def failed(self, stage: str, part: str, error: BaseException) -> None: ...


class SilentReporter:
    """A reporter that says nothing, and the base of those that only care for some of it."""

    def started(self, stage: str, part: str) -> None: ...

    def advanced(self, stage: str, part: str, done: int, total: int) -> None: ...

    def waiting(self, stage: str, part: str, reason: str) -> None: ...

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None: ...

    def failed(self, stage: str, part: str, error: BaseException) -> None: ...


class Reporters:
    """Several reporters that hear the same, in this order."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def started(self, stage: str, part: str) -> None:
        for reporter in self._reporters:
            reporter.started(stage, part)

    def advanced(self, stage: str, part: str, done: int, total: int) -> None:
        for reporter in self._reporters:
            reporter.advanced(stage, part, done, total)

    def waiting(self, stage: str, part: str, reason: str) -> None:
        for reporter in self._reporters:
            reporter.waiting(stage, part, reason)

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None:
        for reporter in self._reporters:
            reporter.finished(stage, part, made, asked)

    def failed(self, stage: str, part: str, error: BaseException) -> None:
        for reporter in self._reporters:
            reporter.failed(stage, part, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one part of a stage did, from `start_s` to `end_s` on any one clock; a hit did nothing.

    `count` is how far its progress came: utterances, or steps in fine-tuning.
    """

    start_s: float
    end_s: float
    cached: bool
    count: int = 0
    issued: int = 0
    replayed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The GPUs that a run holds while it runs the model, and the price of an hour of one, if it is known."""

    gpus: int = 0
    gpu_hour_price: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTiming:
    """A stage from its first start to its last end; rates and GPU hours are of the parts that were no hits."""

    name: str
    seconds: float
    shards: int
    cached: int
    count: int = 0
    per_s: float | None = None
    issued: int = 0
    replayed: int = 0
    requests_per_s: float | None = None
    gpu_hours: float | None = None
    cost: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": round(self.seconds, 3)}


def stage_timing(name: str, parts: Iterable[Work], hardware: Hardware) -> StageTiming:
    """Sum up the parts of one stage."""
    done = list(parts)
    seconds = max(part.end_s for part in done) - min(part.start_s for part in done)
    worked = [part for part in done if not part.cached]
    busy_s = max(p.end_s for p in worked) - min(p.start_s for p in worked) if worked else 0.0
    count, issued = sum(part.count for part in worked), sum(part.issued for part in worked)
    gpu_hours = busy_s / 3600 * hardware.gpus if name in MODEL_STAGES and hardware.gpus else None
    price = hardware.gpu_hour_price
    return StageTiming(
        name=name, seconds=seconds, shards=len(done), cached=len(done) - len(worked), count=count,
        per_s=_rate(count, busy_s), issued=issued, replayed=sum(part.replayed for part in worked),
        requests_per_s=_rate(issued, busy_s),
        gpu_hours=None if gpu_hours is None else round(gpu_hours, 4),
        cost=None if gpu_hours is None or price is None else round(gpu_hours * price, 2),
    )  # fmt: skip


def _rate(count: int, seconds: float) -> float | None:
    return round(count / seconds, 3) if count and seconds > 0 else None


class StageClock(SilentReporter):
    """Collects what every part of every stage did, from any thread."""

    def __init__(self, hardware: Hardware | None = None) -> None:
        self.hardware = hardware or Hardware()
        self._lock = threading.Lock()
        self._begun: dict[tuple[str, str], float] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._asked: dict[str, int] = {"issued": 0, "replayed": 0}
        self._work: dict[str, dict[str, Work]] = {}

    def started(self, stage: str, part: str) -> None:
        self._begun[stage, part] = time.monotonic()

    def advanced(self, stage: str, part: str, done: int, total: int) -> None:  # noqa: ARG002
        self._counts[stage, part] = done

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None:
        with self._lock:
            mine = self._share(stage, asked)
            self._work.setdefault(stage, {})[part] = Work(
                start_s=self._begun[stage, part], end_s=time.monotonic(), cached=made.cached,
                count=self._counts.get((stage, part), 0), issued=mine["issued"], replayed=mine["replayed"],
            )  # fmt: skip

    def work(self, stage: str, part: str) -> Work:
        """What a part did that has finished."""
        with self._lock:
            return self._work[stage][part]

    def timings(self) -> list[StageTiming]:
        """One entry per stage, in the order in which the stages first started."""
        with self._lock:
            work = {name: list(parts.values()) for name, parts in self._work.items()}
        ordered = sorted(work, key=lambda name: min(part.start_s for part in work[name]))
        return [stage_timing(name, work[name], self.hardware) for name in ordered]

    def _share(self, stage: str, asked: Mapping[str, int]) -> dict[str, int]:
        """The requests since the last part of a stage that asks; a part of another stage asked none."""
        if stage not in MODEL_STAGES:
            return {"issued": 0, "replayed": 0}
        before, self._asked = self._asked, {name: asked[name] for name in ("issued", "replayed")}
        return {name: self._asked[name] - before[name] for name in before}
