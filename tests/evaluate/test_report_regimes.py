"""Latency regimes: the bounds of each edition, and what falls where."""

import math

import pytest

from evaluate.regimes import regime_of, rules_for


@pytest.mark.parametrize(
    ("tgt_lang", "low_ms", "high_ms"), [("de", 2000, 4000), ("zh-CN", 2500, 4000), ("ja", 3500, 5000)]
)
def test_the_edition_of_2025_has_its_own_bounds_for_each_of_its_pairs(
    tgt_lang: str, low_ms: float, high_ms: float
) -> None:
    first, second = rules_for("en", tgt_lang)
    assert (first.edition, first.metric, first.official_metric) == ("IWSLT 2025", "LAAL", "StreamLAAL")
    assert [regime.at_most_ms for regime in first.regimes] == [low_ms, high_ms]
    assert (second.edition, second.metric, second.official_metric) == ("IWSLT 2026", "YAAL", "LongYAAL")
    assert [regime.at_most_ms for regime in second.regimes] == [2000, 4000]


def test_a_pair_that_2025_does_not_name_has_only_the_rules_of_2026() -> None:
    assert [rules.edition for rules in rules_for("de", "en")] == ["IWSLT 2026"]


@pytest.mark.parametrize(
    ("latency_ms", "name"),
    [
        (-300, "low"),
        (0, "low"),
        (2000, "low"),
        (2000.1, "high"),
        (4000, "high"),
        (4000.1, None),
        (math.nan, None),
    ],
)
def test_a_latency_is_in_the_fastest_regime_that_admits_it(latency_ms: float, name: str | None) -> None:
    regime = regime_of(latency_ms, rules_for("en", "de")[0])
    assert (regime.name if regime else None) == name
