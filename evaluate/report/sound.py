"""An utterance's audio for a page: a picture of its loudness, and the sound itself as a data URI."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from augment.audio import encode_flac

_COLUMNS = 200


def wave_path(waveform: NDArray[np.float32], columns: int = _COLUMNS) -> str:
    """The outline of the peaks as an SVG path in a box of `columns` x 2, scaled so that the loudest touches it."""
    if waveform.size == 0:
        return ""
    edges = np.linspace(0, waveform.size, min(columns, waveform.size), endpoint=False, dtype=np.int64)
    peaks = np.maximum.reduceat(np.abs(waveform), edges)  # (columns,)
    heights = np.maximum(peaks / max(float(peaks.max()), 1e-6), 0.02)
    x = np.linspace(0, columns, peaks.size)
    above = [f"{at:.1f} {1 - height:.2f}" for at, height in zip(x, heights, strict=True)]
    below = [f"{at:.1f} {1 + height:.2f}" for at, height in zip(x, heights, strict=True)]
    return "M" + "L".join(above + below[::-1]) + "Z"


def audio_uri(waveform: NDArray[np.float32]) -> str:
    """Lossless FLAC at 16 kHz, so that the cursor and the samples agree."""
    return "data:audio/flac;base64," + base64.b64encode(encode_flac(waveform)).decode("ascii")
