"""What the system did: how often it wrote, how long it computed, how much it took back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluate.trace import Step, StreamTrace
from evaluate.units import Unit, erased_units


def num_chunks(steps: Sequence[Step]) -> int:
    """NumChunks counts writes: steps that appended something, whatever its length."""
    return sum(bool(step.token_ids or step.pieces) for step in steps)


def real_time_factor(steps: Sequence[Step], heard_ms: float) -> float:
    """RTF = compute time / audio time, silent steps included; nan where a step's compute is not known."""
    compute_s = [step.compute_s for step in steps]
    if not steps or not heard_ms > 0 or None in compute_s:
        return math.nan
    return math.fsum(s for s in compute_s if s is not None) * 1000 / heard_ms


def normalized_erasure(traces: Sequence[StreamTrace], unit: Unit) -> float:
    """NE = units taken back / units of the final texts (Arivazhagan et al. 2020); nan where these are empty.

    0 for a policy that only appends.
    """
    written = sum(len(trace.emissions) for trace in traces)
    return sum(erased_units(trace.steps, unit) for trace in traces) / written if written else math.nan
