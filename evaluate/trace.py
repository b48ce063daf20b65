"""What was written when, for one utterance: the record every score is computed from.

A trace holds every step, the silent ones too, so that any latency metric can be computed from it later. This
module knows no engine and no tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from augment.atomic import replaced
from lalm.errors import SimulsaError

_ONLY_ELSEWHERE: Mapping[str, Any] = {"pieces": (), "erased": 0, "step": None}
"""Fields of steps and emissions that a trace of our own leaves at these defaults."""


class TraceError(SimulsaError):
    """A trace file that does not hold what `write_traces` writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of the model: how much audio it had heard, and the tokens it appended (none: it waited).

    `capped` marks a step that ran into its token cap; `compute_s` is known only where one utterance is
    streamed alone, because batching contaminates it. Another system's step has no token ids but the `pieces`
    of text it appended, after taking back the last `erased` pieces that still stood.
    """

    audio_ms: float
    token_ids: tuple[int, ...]
    capped: bool = False
    compute_s: float | None = None
    pieces: tuple[str, ...] = ()
    erased: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """One unit (word or character) of the output and its delay: the audio heard when it was completed.

    `step` is the index of the step that completed it, where several steps heard equally much.
    """

    unit: str
    delay_ms: float
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTrace:
    """The streamed translation of one utterance at one chunk size (None: heard whole, or not known).

    A failed utterance has an empty text, no emissions, and `failure` saying why.
    """

    id: str
    chunk_ms: int | None
    source_ms: float
    text: str
    emissions: tuple[Emission, ...]
    steps: tuple[Step, ...]
    failure: str | None = None

    @property
    def delays_ms(self) -> tuple[float, ...]:
        """Delay of every unit, never decreasing."""
        return tuple(emission.delay_ms for emission in self.emissions)

    @property
    def cap_hits(self) -> int:
        """How many steps ran into their token cap."""
        return sum(step.capped for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` is the inverse. What only other systems' traces say is left out."""
        value = asdict(self)
        for part in (*value["steps"], *value["emissions"]):
            for name, default in _ONLY_ELSEWHERE.items():
                if name in part and part[name] == default:
                    del part[name]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StreamTrace:
        """The trace that `to_json` wrote; raises KeyError or TypeError on anything else."""
        steps = tuple(
            Step(**{**step, "token_ids": tuple(step["token_ids"]), "pieces": tuple(step.get("pieces", ()))})
            for step in value["steps"]
        )
        emissions = tuple(Emission(**emission) for emission in value["emissions"])
        return cls(**{**value, "steps": steps, "emissions": emissions})


def require_forward(trace: StreamTrace) -> None:
    """Raise TraceError unless time only goes on: no step hears less, and no unit comes earlier, than the one before.

    A failed trace must say nothing, since it counts as empty.
    """
    heard, delays = [step.audio_ms for step in trace.steps], list(trace.delays_ms)
    if heard != sorted(heard) or delays != sorted(delays):
        raise TraceError(f"trace {trace.id!r} runs backwards: steps at {heard} ms, units at {delays} ms")
    if trace.failure and (trace.text or delays):
        raise TraceError(f"trace {trace.id!r} failed ({trace.failure}), but says {trace.text!r}")


def write_traces(path: Path, traces: Iterable[StreamTrace]) -> None:
    """Write one JSON line per trace, replacing the file whole or not at all."""
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for trace in traces:
            file.write(json.dumps(trace.to_json(), ensure_ascii=False, allow_nan=False) + "\n")


def read_traces(path: Path) -> Iterator[StreamTrace]:
    """Yield the traces of a file in order; raises TraceError naming the line that is not one."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield StreamTrace.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise TraceError(
                    f"{path}:{number} is not a stream trace ({error!r}): delete the file and evaluate again"
                ) from error
