"""Selection and cut: shares, laws, limits, and that they depend on (seed, corpus, id) alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.audio import from_int16, pcm_digest
from augment.beta import beta_cdf, truncated_beta_inverse
from augment.random import uniform01
from augment.schema import AudioRef, Rejection, TruncatedUtterance, Utterance
from augment.truncate import (
    TruncateConfig,
    draw_id,
    is_selected,
    kept_ratio,
    kept_sample_range,
    truncate,
)

PINNED = 0.287063466461587
SHAPES = st.floats(0.1, 20.0)
UNIT = st.floats(0.0, 1.0, exclude_max=True)
CONFIGS = st.builds(
    TruncateConfig,
    alpha=st.one_of(st.just(1.0), SHAPES),
    beta=st.one_of(st.just(1.0), st.just(3.0), SHAPES),
    of=st.sampled_from(["kept", "removed"]),
    min_kept_s=st.floats(0.0, 2.0),
    min_removed_s=st.floats(0.0, 2.0),
)


def utterance(id: str = "u", corpus: str = "toy") -> Utterance:
    return Utterance(
        id=id,
        corpus=corpus,
        split="train",
        audio=AudioRef(path=f"{id}.wav"),
        src_lang="en",
        tgt_lang="de",
        src_text=None,
        tgt_text="Hallo",
        license="cc0-1.0",
    )


def noise(num_samples: int) -> np.ndarray:
    return from_int16(np.random.default_rng(0).integers(-3000, 3000, num_samples, dtype=np.int16))


@given(st.integers(), st.text(max_size=9), st.text(max_size=9), st.text(max_size=9))
def test_uniform_is_in_the_half_open_unit_interval(seed: int, purpose: str, corpus: str, id: str) -> None:
    assert 0.0 <= uniform01(seed, purpose, corpus, id) < 1.0


def test_uniform_is_pinned_and_tells_its_arguments_apart() -> None:
    assert uniform01(0, "select", "toy", "a") == PINNED
    assert (
        len({uniform01(0, *parts) for parts in (("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"))}) == 3
    )
    assert uniform01(1, "select", "toy", "a") != PINNED


def test_uniform_numbers_are_uniform() -> None:
    values = sorted(uniform01(7, "select", "toy", f"clip_{n}") for n in range(4000))
    assert largest_gap(values, lambda x: x) < 1.63 / math.sqrt(4000)  # Kolmogorov-Smirnov, 1 % level


def largest_gap(ordered: list[float], cdf) -> float:  # type: ignore[no-untyped-def]
    n = len(ordered)
    return max(max(abs(cdf(x) - k / n), abs(cdf(x) - (k + 1) / n)) for k, x in enumerate(ordered))


def test_selected_share_is_the_fraction() -> None:
    chosen = sum(is_selected(3, "toy", f"clip_{n}", 0.01) for n in range(50_000))
    assert abs(chosen - 500) < 4 * math.sqrt(500)


@given(st.text(max_size=12), UNIT, UNIT)
def test_a_larger_fraction_keeps_what_a_smaller_one_selected(id: str, a: float, b: float) -> None:
    small, large = sorted((a, b))
    assert not is_selected(0, "toy", id, small) or is_selected(0, "toy", id, large)


def test_fraction_counts_draws_not_utterances() -> None:
    config = TruncateConfig(fraction=0.06, draws_per_utterance=3)
    chosen = sum(is_selected(5, "toy", f"clip_{n}", config.selected_share) for n in range(20_000))
    assert abs(3 * chosen - 1200) < 3 * 4 * math.sqrt(400)


@given(UNIT, st.integers(1, 2_000_000), CONFIGS)
def test_ratio_lies_within_the_allowed_cuts_or_there_is_none(
    u: float, num_samples: int, config: TruncateConfig
) -> None:
    ratio, allowed = kept_ratio(u, num_samples, config), kept_sample_range(num_samples, config)
    if allowed is None:
        assert ratio is None
        return
    assert ratio is not None
    fewest, most = allowed
    assert fewest <= round(ratio * num_samples) <= most
    assert fewest > 0
    assert most < num_samples


@given(UNIT, UNIT, st.integers(16_000, 480_000), CONFIGS)
def test_ratio_is_monotone_in_u(a: float, b: float, num_samples: int, config: TruncateConfig) -> None:
    assume(kept_sample_range(num_samples, config) is not None)
    at_low, at_high = (kept_ratio(u, num_samples, config) for u in sorted((a, b)))
    assert at_low is not None
    assert at_high is not None
    first, second = (at_low, at_high) if config.of == "kept" else (at_high, at_low)
    assert first <= second + 1e-12


@pytest.mark.parametrize("of", ["kept", "removed"])
@pytest.mark.parametrize(
    ("alpha", "beta"), [(1.0, 3.0), (1.0, 1.0), (3.0, 1.0), (2.0, 5.0), (0.5, 0.5), (8.0, 0.7)]
)
def test_shares_follow_the_restricted_law_and_no_mass_gathers_at_its_ends(
    of: str, alpha: float, beta: float
) -> None:
    config = TruncateConfig(alpha=alpha, beta=beta, of=of, min_kept_s=0.3, min_removed_s=0.5)  # type: ignore[arg-type]
    num_samples = 48_000
    low, high = (0.1, 1 - 1 / 6) if of == "kept" else (1 / 6, 0.9)
    ratios = [kept_ratio(uniform01(1, "ratio", "toy", str(n)), num_samples, config) for n in range(1000)]
    shares = sorted(r if of == "kept" else 1.0 - r for r in ratios if r is not None)
    floor, mass = beta_cdf(low, alpha, beta), beta_cdf(high, alpha, beta) - beta_cdf(low, alpha, beta)
    assert len(shares) == 1000
    assert largest_gap(shares, lambda x: (beta_cdf(x, alpha, beta) - floor) / mass) < 1.63 / math.sqrt(1000)
    assert len(set(shares)) == 1000


@pytest.mark.parametrize(
    ("alpha", "beta", "x", "expected"),
    [
        (1.0, 3.0, 0.25, 1 - 0.75**3),
        (2.0, 2.0, 0.3, 3 * 0.3**2 - 2 * 0.3**3),
        (3.0, 1.0, 0.4, 0.4**3),
        (0.5, 0.5, 0.2, 2 / math.pi * math.asin(math.sqrt(0.2))),
        (5.0, 3.0, 0.6, sum(math.comb(7, k) * 0.6**k * 0.4 ** (7 - k) for k in range(5, 8))),
        (60.0, 41.0, 0.55, sum(math.comb(100, k) * 0.55**k * 0.45 ** (100 - k) for k in range(60, 101))),
    ],
)
def test_beta_cdf_equals_closed_forms(alpha: float, beta: float, x: float, expected: float) -> None:
    assert beta_cdf(x, alpha, beta) == pytest.approx(expected, rel=1e-12)


@given(UNIT, SHAPES, SHAPES, st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_inverse_undoes_the_restricted_cdf(u: float, alpha: float, beta: float, a: float, b: float) -> None:
    low, high = sorted((a, b))
    floor, mass = beta_cdf(low, alpha, beta), beta_cdf(high, alpha, beta) - beta_cdf(low, alpha, beta)
    assume(mass > 1e-6)
    x = truncated_beta_inverse(u, alpha, beta, low, high)
    assert (beta_cdf(x, alpha, beta) - floor) / mass == pytest.approx(u, abs=1e-6)


@given(UNIT, st.sampled_from([(100.0, 2.0), (100.0, 100.0), (2.0, 100.0), (0.1, 0.1)]))
def test_extreme_shapes_and_tails_stay_inside_the_interval(u: float, shapes: tuple[float, float]) -> None:
    for low, high in ((1e-6, 2e-6), (1 - 2e-6, 1 - 1e-6), (0.0, 1.0), (0.5, 0.5)):
        assert low <= truncated_beta_inverse(u, *shapes, low, high) <= high


def test_deep_tail_is_still_a_law_and_not_one_value() -> None:
    values = [truncated_beta_inverse(u, 100.0, 2.0, 1e-6, 2e-6) for u in (0.1, 0.5, 0.9)]
    assert values[0] < values[1] < values[2]


def test_default_law_is_the_papers_density() -> None:
    config = TruncateConfig(min_kept_s=0.0, min_removed_s=0.0)
    for u in (0.1, 0.5, 0.9):
        assert kept_ratio(u, 10**9, config) == pytest.approx(1 - (1 - u) ** (1 / 3), abs=1e-8)


def test_truncated_utterance_carries_digests_of_whole_and_kept_audio() -> None:
    waveform = noise(32_000)
    cut = truncate(utterance(), waveform, TruncateConfig(), seed=0)
    assert isinstance(cut, TruncatedUtterance)
    assert cut.num_samples == 32_000
    assert cut.kept_samples == round(cut.kept_ratio * 32_000)
    assert cut.audio_sha256 == pcm_digest(waveform)
    assert cut.kept_sha256 == pcm_digest(waveform[: cut.kept_samples])
    assert cut.kept_sha256 != cut.audio_sha256


def test_draws_have_their_own_ids_and_cuts_and_draw_zero_keeps_the_utterances_id() -> None:
    config = TruncateConfig(draws_per_utterance=4)
    cuts = [truncate(utterance("clip"), noise(64_000), config, seed=0, draw=draw) for draw in range(4)]
    assert [cut.id for cut in cuts] == ["clip", "clip.d1", "clip.d2", "clip.d3"]
    assert len({cut.kept_samples for cut in cuts if isinstance(cut, TruncatedUtterance)}) == 4


def test_cut_depends_on_seed_corpus_and_id_only() -> None:
    def kept(seed: int = 0, **changes: str) -> int:
        cut = truncate(replace(utterance(), **changes), noise(160_000), TruncateConfig(), seed=seed)
        assert isinstance(cut, TruncatedUtterance)
        return cut.kept_samples

    assert kept() == kept(tgt_text="other", split="dev", license="mit")
    assert len({kept(), kept(seed=1), kept(corpus="other"), kept(id="other")}) == 4


@pytest.mark.parametrize("num_samples", [0, 1, 9_599])
def test_utterance_below_both_minimums_is_rejected_with_its_length(num_samples: int) -> None:
    rejection = truncate(utterance("short"), noise(num_samples), TruncateConfig(), seed=0, draw=0)
    assert isinstance(rejection, Rejection)
    assert (rejection.id, rejection.stage, rejection.reason) == ("short", "truncate", "too_short_to_truncate")
    assert f"{num_samples / 16_000:.3f} s" in rejection.detail


def test_utterance_of_exactly_both_minimums_has_one_cut() -> None:
    cut = truncate(utterance(), noise(9_600), TruncateConfig(), seed=0)
    assert isinstance(cut, TruncatedUtterance)
    assert cut.kept_samples == 4_800


def test_id_that_reads_like_a_draw_is_rejected_only_when_there_are_draws() -> None:
    named = utterance("clip.d1")
    several = truncate(named, noise(32_000), TruncateConfig(draws_per_utterance=2), seed=0)
    assert isinstance(several, Rejection)
    assert several.reason == "ambiguous_draw_id"
    assert isinstance(truncate(named, noise(32_000), TruncateConfig(), seed=0), TruncatedUtterance)
    assert draw_id("clip", 1) == "clip.d1"


def test_fraction_that_the_draws_cannot_give_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValidationError, match="set fraction to at most 1"):
        TruncateConfig(fraction=1.5)
    assert TruncateConfig(fraction=1.5, draws_per_utterance=2).selected_share == 0.75


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0}, {"beta": -1}, {"of": "both"}, {"min_kept_s": float("nan")}, {"ratio": 0.5}]
)
def test_values_without_meaning_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TruncateConfig.model_validate(wrong)
