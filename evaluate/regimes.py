"""Latency regimes of the IWSLT shared tasks: which regime a latency falls into.

The official figures are taken on unsegmented recordings. A test set of single utterances is the special case of
recordings with one segment each: StreamLAAL is then LAAL, and LongYAAL is YAAL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lalm.languages import base_language


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """A latency class and the highest latency it admits."""

    name: str
    at_most_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One edition's regimes for a language pair, the fastest first, and the metric that decides."""

    edition: str
    official_metric: str
    metric: str
    regimes: tuple[Regime, ...]


_LOW_HIGH_2025_MS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("en", "de"): (2000.0, 4000.0),
    ("en", "zh"): (2500.0, 4000.0),
    ("en", "ja"): (3500.0, 5000.0),
}
_LOW_HIGH_2026_MS = (2000.0, 4000.0)


def rules_for(src_lang: str, tgt_lang: str) -> tuple[Rules, ...]:
    """The rules of IWSLT 2025, where they name this pair, and of IWSLT 2026."""
    bounds_ms = _LOW_HIGH_2025_MS.get((base_language(src_lang), base_language(tgt_lang)))
    known = [_rules("IWSLT 2025", "StreamLAAL", "LAAL", bounds_ms)] if bounds_ms else []
    return (*known, _rules("IWSLT 2026", "LongYAAL", "YAAL", _LOW_HIGH_2026_MS))


def regime_of(latency_ms: float, rules: Rules) -> Regime | None:
    """The fastest regime that admits this latency; None beyond all of them, or where there is no latency (nan).

    A negative latency is in the fastest regime: the rules set no lower bound.
    """
    return next((regime for regime in rules.regimes if latency_ms <= regime.at_most_ms), None)


def _rules(edition: str, official_metric: str, metric: str, bounds_ms: tuple[float, float]) -> Rules:
    low_ms, high_ms = bounds_ms
    regimes = (Regime(name="low", at_most_ms=low_ms), Regime(name="high", at_most_ms=high_ms))
    return Rules(edition=edition, official_metric=official_metric, metric=metric, regimes=regimes)
