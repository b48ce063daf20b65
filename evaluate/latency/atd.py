"""Average token delay: each unit against the piece of source that it stands for.

Speech has no tokens, so a source token is 300 ms of audio, and the last one of every chunk what is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

SOURCE_TOKEN_MS = 300.0
_ROUNDING_MS = 1e-6
"""A rest of a chunk below this is float noise, not a token."""


def average_token_delay(delays_ms: Sequence[float], aware_ms: Sequence[float] | None = None) -> float:
    """ATD = (1/|Y|) Σ_t [T(y_t) − T(x_a(t))], in ms; nan without delays.

    a(t) = min(t − max(|y^{c−1}| − |x^{c−1}|, 0), |x^c|), with c the chunk of y_t and |x^c|, |y^c| the tokens
    heard and written up to the end of chunk c (Kano et al. 2023, arXiv 2211.13173). T(x_a) is the
    time at which source token a ends, 0 for none. T(y_t) is the delay, or its computation-aware time where
    `aware_ms` is given; written text takes no time to say.
    """
    if not delays_ms:
        return math.nan
    ends_ms: list[float] = []
    terms: list[float] = []
    times_ms = delays_ms if aware_ms is None else aware_ms
    for delay, chunk in groupby(delays_ms):
        ahead = max(len(terms) - len(ends_ms), 0)
        ends_ms += _token_ends(ends_ms[-1] if ends_ms else 0.0, delay)
        for _ in chunk:
            partner = min(len(terms) + 1 - ahead, len(ends_ms))
            terms.append(times_ms[len(terms)] - (ends_ms[partner - 1] if partner else 0.0))
    return math.fsum(terms) / len(terms)


def _token_ends(begin_ms: float, end_ms: float) -> list[float]:
    """When the source tokens of a chunk end."""
    tokens = math.ceil((end_ms - begin_ms - _ROUNDING_MS) / SOURCE_TOKEN_MS)
    return [min(begin_ms + SOURCE_TOKEN_MS * (i + 1), end_ms) for i in range(tokens)]
