"""Which tokens of a draft the kept audio supports: SimulSA's acceptance rules on log-probabilities alone.

A rule gives each token a margin, its signed distance in nats from being rejected; the first token with a negative
margin ends what is accepted. This module knows no engine and no audio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from augment.partial_config import PartialConfig
from augment.random import uniform01
from lalm.engine import Score


def margins(
    config: PartialConfig, kept: Score, other: Score | None, *, seed: int, corpus: str, id: str
) -> tuple[float, ...]:
    """The signed distance of each draft token from its rule's boundary, in nats; negative means rejected.

    `kept` is the evidence given the kept audio; `other` given the full audio (ratio, stochastic) or silence
    (contrast), and None for rules that need no second prefill.
    """
    if config.rule == "greedy":
        return tuple(map(_greedy, kept.logprobs, kept.rival_logprobs, kept.ranks))
    if config.rule == "threshold":
        return tuple(logprob - math.log(config.boundary) for logprob in kept.logprobs)
    assert other is not None
    gains = [own - base for own, base in zip(kept.logprobs, other.logprobs, strict=True)]
    if config.rule == "ratio":
        return tuple(gain - math.log(config.boundary) for gain in gains)
    if config.rule == "contrast":
        return tuple(gain - config.boundary for gain in gains)
    draws = (uniform01(seed, f"stochastic:{t}", corpus, id) for t in range(len(gains)))
    return tuple(_stochastic(gain, u) for gain, u in zip(gains, draws, strict=True))


def accepted_count(decisions: Sequence[float]) -> int:
    """How many tokens stand before the first rejected one."""
    return next((t for t, margin in enumerate(decisions) if margin < 0), len(decisions))


def is_near_tie(decisions: Sequence[float], epsilon: float) -> bool:
    """Whether any decision up to the first rejection lies within `epsilon` of its boundary."""
    return any(abs(margin) < epsilon for margin in decisions[: accepted_count(decisions) + 1])


def _greedy(logprob: float, rival: float, rank: int) -> float:
    """An exact tie goes as the engine ranked it."""
    gap = abs(logprob - rival)
    return gap if rank == 1 else -max(gap, math.ulp(0.0))


def _stochastic(gain: float, u: float) -> float:
    """Positive when u < min(1, p_kept / p_full), the acceptance test of speculative decoding."""
    return math.inf if u == 0.0 else gain - math.log(u)
