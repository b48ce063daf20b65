"""Each check flags what it says, and nothing is dropped by default."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.quality import CHECKS, FLAGS, QualityConfig, check_quality
from augment.quality.measures import most_repeats, script_share
from tests.support.micro import random_waveform

DRAFT = "wir werden morgen in Berlin die alte Brücke besuchen"
WORDS = st.lists(st.sampled_from("abc"), max_size=30)


def flags(partial: str, *, num_samples: int = 16_000, draft: str = DRAFT, lang: str = "de", **config: object):  # type: ignore[no-untyped-def]
    kept = random_waveform(1, num_samples)
    settings = QualityConfig(**config)  # type: ignore[arg-type]
    return check_quality(kept=kept, partial=partial, draft=draft, tgt_lang=lang, config=settings).flags


@pytest.mark.parametrize(
    ("partial", "options", "expected"),
    [
        ("wir werden morgen", {}, ()),
        ("", {}, ()),
        ("wir", {}, ("too_few_words",)),
        ("wir werden", {"num_samples": 1_599, "max_chars_per_s": 1000}, ("audio_too_short",)),
        ("wir werden", {"num_samples": 1_600, "max_chars_per_s": 1000}, ()),
        ("wir werden", {"num_samples": 16_000, "max_duration_s": 0.9}, ("audio_too_long",)),
        ("мы завтра", {}, ("foreign_script",)),
        ("мы завтра", {"lang": "ru"}, ()),
        ("明天我们", {"lang": "zh", "draft": "明天我们去看老桥"}, ()),
        ("明", {"lang": "zh", "draft": "明天我们去看老桥"}, ("too_few_words",)),
        ("so so so so", {}, ("repetition",)),
        ("wir werden wir werden wir werden wir werden", {"max_chars_per_s": 100}, ("repetition",)),
        ("wir werden", {"num_samples": 3_200}, ("too_many_chars_per_second",)),
        ("wir werden morgen", {"draft": "wir werden"}, ("longer_than_draft",)),
        ("wir werden hier", {"draft": "wir", "max_chars_per_s": 100}, ("length_ratio", "longer_than_draft")),
    ],
)
def test_a_row_carries_exactly_the_flags_it_earns(
    partial: str, options: dict[str, object], expected: tuple[str, ...]
) -> None:
    assert flags(partial, **options) == expected


def test_each_flag_has_one_check_and_each_check_its_own_threshold() -> None:
    assert tuple(check.flag for check in CHECKS) == FLAGS
    thresholds = [check.threshold for check in CHECKS if check.threshold]
    assert len(set(thresholds)) == len(thresholds) == len(FLAGS) - 1
    assert set(thresholds) <= QualityConfig.model_fields.keys()


def test_digital_and_near_silence_are_flagged_silent() -> None:
    config = QualityConfig()
    for level in (0.0, 1 / 32_768):
        kept = np.full(16_000, level, dtype=np.float32)
        found = check_quality(kept=kept, partial="", draft=DRAFT, tgt_lang="de", config=config)
        assert found.flags == ("audio_silent",)


def test_no_audio_at_all_is_short_and_silent() -> None:
    empty = np.zeros(0, dtype=np.float32)
    found = check_quality(kept=empty, partial="", draft="", tgt_lang="de", config=QualityConfig())
    assert found.flags == ("audio_too_short", "audio_silent")


def test_an_unlisted_language_is_not_judged_by_its_script() -> None:
    assert script_share("ᚠᚢᚦ", "xx") == 1.0


def test_the_default_drops_nothing_and_an_unknown_flag_is_refused() -> None:
    assert QualityConfig().drop == ()
    with pytest.raises(ValidationError, match="drop"):
        QualityConfig(drop=("too_boring",))  # type: ignore[arg-type]
    assert QualityConfig(drop=FLAGS).drop == FLAGS


@given(WORDS, st.integers(1, 4), st.integers(2, 6))
def test_a_planted_loop_is_counted_at_least_as_often_as_it_stands(
    words: list[str], order: int, times: int
) -> None:
    loop = [f"w{i}" for i in range(order)] * times

    assert most_repeats([*words, *loop, *words]) >= times


@given(st.lists(st.integers(), unique=True, min_size=1).map(lambda values: list(map(str, values))))
def test_words_that_are_all_different_never_repeat(words: list[str]) -> None:
    assert most_repeats(words) == 1
