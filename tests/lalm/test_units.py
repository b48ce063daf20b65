"""Cutting tokens to whole units: the next token decides whether the last one is whole."""

from hypothesis import given
from hypothesis import strategies as st

from lalm.units import cut_to_whole_units, is_character_language
from tests.evaluate.scripted import TOKENIZER, ids


def cut(text: str | bytes, follow: str | bytes | None, lang: str = "de") -> str:
    next_id = None if follow is None else ids(follow)[0]
    kept, kept_text = cut_to_whole_units(TOKENIZER, ids(text), lang, next_id)
    assert kept == ids(kept_text)
    return kept_text


def test_a_word_is_whole_only_when_the_next_token_begins_another() -> None:
    assert cut("das Haus", " ist") == "das Haus"
    assert cut("das Haus", "tür") == "das"
    assert cut("das Haus", ".") == "das"


def test_a_text_that_ends_here_ends_with_a_whole_word() -> None:
    assert cut("das Haus", None) == "das Haus"


def test_a_first_word_that_goes_on_leaves_nothing() -> None:
    assert cut("Donau", "dampfer") == ""
    assert cut("", "da") == ""


def test_a_space_belongs_to_the_word_that_follows_it() -> None:
    assert cut("das ", "Haus") == "das"


def test_half_a_character_is_never_kept() -> None:
    assert cut(b"die T" + b"\xc3", b"\xbc") == "die"
    assert cut("很".encode() + b"\xe5\xa5", b"\xbd", "zh") == "很"


def test_chinese_is_cut_between_any_two_characters() -> None:
    assert cut("今天很", "好", "zh-Hant") == "今天很"


def test_a_thai_tone_mark_stays_with_its_consonant() -> None:
    assert cut("ไม" + "่", "ม", "th") == "ไม่"
    assert is_character_language("th")


@given(st.text(st.sampled_from("abü  ,.\n"), max_size=20), st.sampled_from([" ", "a", "ü", "."]))
def test_what_is_kept_are_whole_words_of_the_longer_text(text: str, follow: str) -> None:
    kept = cut(text, follow)
    assert text.startswith(kept)
    words = (text + follow).split()
    assert kept.split() == words[: len(kept.split())]
    assert len(kept.split()) >= len(text.split()) - 1
