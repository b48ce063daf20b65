"""Where speech pauses: stretches far quieter than the speech around them. Knows neither words nor windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from augment.schema import SAMPLE_RATE_HZ

Floats = NDArray[np.floating]

FRAME_MS = 20
FRAME_SAMPLES = FRAME_MS * SAMPLE_RATE_HZ // 1000
QUIET_SHARE = 0.075
"""Quiet is 22 dB below the loud parts. On 253 sentence ends of the toy corpus's dev split, with pauses of 280 ms, this
misses 1 and finds 6 that are none; 0.055 and 0.1 are worse in both or find 15."""
LOUD_PERCENTILE = 95


def frame_levels(waveform: Floats) -> Floats:
    """Root mean square of every whole frame of 20 ms, shape (frames,)."""
    count = len(waveform) // FRAME_SAMPLES
    frames = waveform[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)
    levels: Floats = np.sqrt(np.square(frames, dtype=np.float64).mean(axis=1))
    return levels


def loudness(levels: Floats) -> float:
    """The level of the loud parts; 0 where there is nothing."""
    return float(np.percentile(levels, LOUD_PERCENTILE)) if len(levels) else 0.0


def first_sound(levels: Floats, loud: float) -> int | None:
    """The first frame that comes near the level of speech that is known to be `loud`."""
    near = levels >= QUIET_SHARE * loud
    return int(near.argmax()) if near.any() else None


def first_pause(levels: Floats, pause_ms: int) -> int | None:
    """The frame at which the first pause of at least `pause_ms` begins."""
    return next((begin for begin, end in _pauses(levels) if (end - begin) * FRAME_MS >= pause_ms), None)


def longest_pause(levels: Floats, pause_ms: int) -> int | None:
    """The frame at which the longest pause begins, of those of at least `pause_ms`."""
    long = [(begin - end, begin) for begin, end in _pauses(levels) if (end - begin) * FRAME_MS >= pause_ms]
    return min(long)[1] if long else None


def _pauses(levels: Floats) -> list[tuple[int, int]]:
    """Where pauses begin and end, in frames; silence before any sound is none."""
    quiet = levels < QUIET_SHARE * loudness(levels)
    if quiet.all():
        return []
    onset = int(quiet.argmin())
    changes = onset + np.flatnonzero(np.diff(quiet[onset:], prepend=False, append=False))
    return [(int(begin), int(end)) for begin, end in changes.reshape(-1, 2)]
