"""What a metric sees of one utterance, or of one segment of a recording: units, times, reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evaluate.latency.clocks import Clock, knows_compute, unit_times
from evaluate.trace import StreamTrace
from evaluate.units import Unit, split_units


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOutput:
    """Text, its units' delays and computation-aware times (None: not known), in ms, and the reference.

    Times count from the beginning of the segment, so they may be negative after resegmentation.
    `recording_end_ms` is the end of the recording on the same scale. A reference of None has the length of
    the output.
    """

    id: str
    source_ms: float
    unit: Unit
    text: str
    delays_ms: tuple[float, ...]
    aware_ms: tuple[float, ...] | None
    reference: str | None
    recording_end_ms: float = math.inf

    @property
    def reference_units(self) -> int:
        """|Y*|: real units of the reference."""
        return len(self.delays_ms) if self.reference is None else len(split_units(self.reference, self.unit))

    @property
    def omits(self) -> bool:
        """Whether nothing was written although the reference says something."""
        return not self.delays_ms and self.reference_units > 0


def timed_output(trace: StreamTrace, reference: str | None, unit: Unit, clock: Clock) -> TimedOutput:
    """A whole trace as one output, computation-aware on `clock` where every step's compute is known."""
    return TimedOutput(
        id=trace.id,
        source_ms=trace.source_ms,
        unit=unit,
        text=trace.text,
        delays_ms=trace.delays_ms,
        aware_ms=unit_times(trace, clock) if knows_compute(trace) else None,
        reference=reference,
    )
