"""simulstream 1.0.0: StreamLAAL in seconds, its real-time factor and its erasure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluate.latency.effort import normalized_erasure, real_time_factor
from evaluate.latency.lagging import mean_lag
from evaluate.latency.timed import TimedOutput
from evaluate.trace import StreamTrace
from evaluate.units import Unit


def simulstream_scores(segment: TimedOutput) -> dict[str, float]:
    """LAAL of one segment in seconds, on its delays and on d + c."""
    times = {"StreamLAAL_s": segment.delays_ms, "StreamLAAL_CA_s": segment.aware_ms or ()}
    units = max(len(segment.delays_ms), segment.reference_units)
    return {
        name: mean_lag(times_ms, segment.source_ms, units) / 1000 if times_ms else math.nan
        for name, times_ms in times.items()
    }


def simulstream_effort(traces: Sequence[StreamTrace], unit: Unit) -> dict[str, float]:
    """Its two statistics of a corpus; audio is what the last step of each trace had heard."""
    steps = [step for trace in traces for step in trace.steps]
    heard_ms = math.fsum(trace.steps[-1].audio_ms for trace in traces if trace.steps)
    return {
        "normalized_erasure": normalized_erasure(traces, unit),
        "real_time_factor": real_time_factor(steps, heard_ms),
    }
