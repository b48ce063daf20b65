"""The language of a target is told only when asked, only with lingua, and never of too short a text."""

from __future__ import annotations

import numpy as np
import pytest

from augment.quality import QualityConfig, check_quality, language_libraries
from augment.quality import language as language_module
from augment.quality.language import LanguageError, language_probability
from augment.schema import QualityFlags

GERMAN = "wir werden morgen die alte Brücke besuchen"
ENGLISH = "we will visit the old bridge tomorrow with them"
RIVALS = QualityConfig().language_rivals


def found(partial: str, *, tgt_lang: str = "de", **config: object) -> QualityFlags:
    settings = QualityConfig(identify_language=True, **config)  # type: ignore[arg-type]
    kept = np.full(64_000, 0.1, dtype=np.float32)
    return check_quality(
        kept=kept, partial=partial, draft=partial, tgt_lang=tgt_lang, src_lang="en", config=settings
    )


@pytest.fixture
def lingua() -> None:
    pytest.importorskip("lingua")


@pytest.mark.usefixtures("lingua")
def test_the_target_language_is_recognised_and_the_source_language_is_flagged() -> None:
    right, wrong = found(GERMAN), found(ENGLISH)

    assert right.lid_prob is not None
    assert wrong.lid_prob is not None
    assert (right.lid_prob > 0.9, right.flags) == (True, ())
    assert (wrong.lid_prob < 0.1, wrong.flags) == (True, ("other_language",))


@pytest.mark.usefixtures("lingua")
@pytest.mark.parametrize(("partial", "flags"), [("we", ("too_few_words",)), ("we will visit", ())])
def test_a_partial_too_short_to_tell_has_a_probability_and_no_flag(
    partial: str, flags: tuple[str, ...]
) -> None:
    result = found(partial)

    assert result.flags == flags
    assert result.lid_prob is not None
    assert result.lid_prob < 0.5


@pytest.mark.usefixtures("lingua")
def test_a_source_language_outside_the_rivals_is_told_apart_too() -> None:
    czech = "zítra navštívíme starý most ve městě"

    with_source = language_probability(czech, "sk", RIVALS, also="cs")
    without = language_probability(czech, "sk", RIVALS)

    assert with_source is not None
    assert without is not None
    assert with_source < 0.5 < without


@pytest.mark.usefixtures("lingua")
@pytest.mark.parametrize("text", ["", "1234", " … !"])
def test_a_text_without_letters_has_no_probability(text: str) -> None:
    assert language_probability(text, "de", RIVALS) is None


@pytest.mark.usefixtures("lingua")
def test_region_and_script_are_no_part_of_the_language_and_unknown_targets_have_no_probability() -> None:
    assert language_probability(GERMAN, "de-AT", RIVALS) == language_probability(GERMAN, "de", RIVALS)
    assert language_probability("vi skal besøke broen", "no", RIVALS) is not None
    assert language_probability(GERMAN, "tlh", RIVALS) is None


@pytest.mark.usefixtures("lingua")
def test_an_unknown_rival_is_named() -> None:
    with pytest.raises(LanguageError, match=r"language_rivals names 'xx'.*ISO 639-1"):
        found(GERMAN, language_rivals=("en", "xx"))


def test_without_the_library_the_probability_is_null_and_nothing_is_flagged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language_module, "DISTRIBUTION", "no-such-distribution")

    assert found(ENGLISH) == QualityFlags(length_ratio=1.0, lid_prob=None, flags=())
    assert language_libraries(identify_language=True) == {"no-such-distribution": "absent"}


def test_nothing_is_identified_unless_asked() -> None:
    kept = np.full(64_000, 0.1, dtype=np.float32)
    result = check_quality(kept=kept, partial=ENGLISH, draft=ENGLISH, tgt_lang="de", config=QualityConfig())

    assert (result.lid_prob, result.flags) == (None, ())
    assert language_libraries(identify_language=False) == {}
