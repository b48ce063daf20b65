"""What attention policies share: where tokens listened, freed of sinks, and how long the end of the audio is.

Attention matrices have shape (tokens, audio positions), a row per token. Knows nothing of policies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

SINK_SHARE = 0.2
SINK_EVIDENCE = 4
"""Tokens that must agree on a sink: fewer may well be said in one breath."""


def listening(attention: Floats) -> Floats:
    """Each token's attention as shares of the audio, sinks left out.

    A sink is a position that every token gives more than `SINK_SHARE`: what all of them listen to tells none of them
    apart (Xiao et al. 2024, arXiv 2309.17453, describe sinks; this rule is ours). A token that listened to sinks alone
    keeps them.
    """
    shares = _shares(attention)
    if len(shares) < SINK_EVIDENCE:
        return shares
    others = np.where(shares.min(axis=0) > SINK_SHARE, 0.0, shares)
    heard_more = others.sum(axis=1, keepdims=True) > 0
    return np.where(heard_more, _shares(others), shares)


def tail_positions(tail_ms: float, heard_ms: float, count: int) -> int:
    """How many of `count` positions, spread evenly over the audio heard, lie in its last `tail_ms`; rounded up."""
    return min(count, math.ceil(tail_ms * count / heard_ms))


def before_first(blocked: NDArray[np.bool_]) -> int:
    """How many tokens stand before the first blocked one."""
    return int(blocked.argmax()) if blocked.any() else len(blocked)


def _shares(attention: Floats) -> Floats:
    totals = attention.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(attention, totals, out=np.zeros_like(attention), where=totals > 0)
    return shares
