"""Three computation-aware clocks in use, each wrong for a system slower than real time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from evaluate.latency.clocks import compute_ms
from evaluate.trace import Step


def simuleval_clock(steps: Sequence[Step]) -> list[float]:
    """d + Σ c, in ms: the audio and all compute so far, as if nothing was computed while waiting for audio."""
    total = accumulate(compute_ms(step) for step in steps)
    times = [step.audio_ms + compute for step, compute in zip(steps, total, strict=True)]
    return list(accumulate(times, max))  # sums of floats may fall by their last digit


def simulstream_clock(steps: Sequence[Step]) -> list[float]:
    """d + c, in ms: each step computes as if the one before had finished in time; these times may decrease."""
    return [step.audio_ms + compute_ms(step) for step in steps]


def omnisteval_clock(steps: Sequence[Step]) -> list[float]:
    """max(previous, d + Δc), in ms: output never overtakes output, but a late step delays none after it."""
    return list(accumulate(simulstream_clock(steps), max))
