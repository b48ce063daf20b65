"""SimulEval 1.1.4: written from the metrics' papers and the values it prints; no line of it is used."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluate.latency.atd import average_token_delay
from evaluate.latency.clocks import knows_compute, queue_clock, unit_times
from evaluate.latency.compat.clocks import simuleval_clock
from evaluate.latency.compat.lengths import lagging_scores, split_length
from evaluate.latency.offsets import end_offset, start_offset
from evaluate.latency.timed import TimedOutput, timed_output
from evaluate.trace import StreamTrace
from evaluate.units import Unit


def simuleval_scores(trace: StreamTrace, reference: str | None, unit: Unit) -> dict[str, float]:
    """Its columns for one utterance: `_CA` on d + Σ c, but ATD_CA on a queue; nan without output.

    NumChunks counts tokens and RTF is the last time over the duration, as there.
    """
    output = timed_output(trace, reference, unit, simuleval_clock)
    queued = unit_times(trace, queue_clock) if knows_compute(trace) else ()
    scores = _columns(output.delays_ms, output.delays_ms, output)
    aware = _columns(output.aware_ms or (), queued, output)
    return scores | {f"{name}_CA": value for name, value in aware.items()}


def _columns(
    times_ms: Sequence[float], atd_times_ms: Sequence[float], output: TimedOutput
) -> dict[str, float]:
    delays_ms = output.delays_ms if times_ms else ()
    return lagging_scores(times_ms, output.source_ms, split_length(output)) | {
        "ATD": average_token_delay(delays_ms, atd_times_ms),
        "StartOffset": start_offset(times_ms),
        "EndOffset": end_offset(times_ms, output.source_ms),
        "NumChunks": len(times_ms) if times_ms else math.nan,
        "RTF": times_ms[-1] / output.source_ms if times_ms else math.nan,
    }
