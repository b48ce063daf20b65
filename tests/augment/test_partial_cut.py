"""What is kept of a draft is always a beginning of it that ends with a whole unit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.partial import supported_part
from lalm.prompts import decode, text_ids
from tests.support.micro import train_tokenizer
from tests.support.pieces import pieces_tokenizer

GERMAN = ["wir", " werden", " das", " Haus", "tür", "en", ".", " ", "\n", " Ä", "pfel"]
EMOJI = ["gut", b" \xf0\x9f", b"\x98", b"\x80", " so", b"\xff"]
CHINESE = ["今天", "天气", "很", b"\xe5\xa5", b"\xbd", "。", "iPh", "one", "20", "24", "年"]
THAI = ["ไม", "่", "มา"]
BPE = train_tokenizer()


def cut(
    pieces: Sequence[str | bytes], draft: Sequence[int], accepted: int, lang: str = "de", *, ends: bool = True
) -> str:
    tokenizer = pieces_tokenizer(pieces)
    ids, text = supported_part(tokenizer, draft, accepted, lang, draft_ends=ends)
    assert ids == tuple(draft)[: len(ids)]
    assert text == decode(tokenizer, ids)
    return text


@pytest.mark.parametrize(
    ("draft", "accepted", "kept"),
    [
        ((0, 1, 2), 2, "wir werden"),
        ((0, 1, 2), 1, "wir"),
        ((0, 3, 4), 2, "wir"),
        ((0, 3, 4, 5), 3, "wir"),
        ((0, 3, 4, 2), 3, "wir Haustür"),
        ((0, 3, 6), 2, "wir"),
        ((0, 3, 6), 3, "wir Haus."),
        ((0, 1, 2), 0, ""),
        ((), 0, ""),
        ((0, 9, 10), 2, "wir"),
    ],
    ids=[
        "next word proves it",
        "first word",
        "half a compound",
        "longer half",
        "whole compound",
        "full stop rejected",
        "draft ends",
        "nothing accepted",
        "empty draft",
        "half a word with umlaut",
    ],
)
def test_german_is_cut_to_words(draft: tuple[int, ...], accepted: int, kept: str) -> None:
    assert cut(GERMAN, draft, accepted) == kept


def test_trailing_white_space_is_trimmed() -> None:
    assert cut(GERMAN, (0, 1, 7, 8), 4) == "wir werden"
    assert cut(GERMAN, (0, 7, 3), 2) == "wir"


def test_a_capped_draft_loses_its_last_word() -> None:
    assert cut(GERMAN, (0, 1, 3), 3, ends=False) == "wir werden"
    assert cut(GERMAN, (0, 3, 4), 3, ends=False) == "wir"
    assert cut(GERMAN, (0,), 1, ends=False) == ""


@pytest.mark.parametrize(
    ("accepted", "kept"), [(1, "gut"), (2, "gut"), (3, "gut"), (4, "gut 😀"), (5, "gut 😀 so")]
)
def test_an_emoji_split_over_tokens_is_kept_whole_or_not_at_all(accepted: int, kept: str) -> None:
    assert cut(EMOJI, (0, 1, 2, 3, 4), accepted) == kept


def test_nothing_after_bytes_that_are_no_character_is_kept() -> None:
    assert cut(EMOJI, (0, 4, 5, 4, 4), 5) == "gut"


def test_nothing_from_a_special_token_on_is_kept() -> None:
    special = len(GERMAN)
    assert cut(GERMAN, (0, 1, special, 2, 3), 5) == "wir werden"


@pytest.mark.parametrize(
    ("draft", "accepted", "kept"),
    [
        ((0, 1, 2), 1, "今天"),
        ((0, 1, 2, 3, 4), 4, "今天天气很"),
        ((0, 1, 2, 3, 4), 5, "今天天气很好"),
        ((2, 6, 7), 2, "很"),
        ((2, 6, 7, 2), 3, "很iPhone"),
        ((8, 9, 10), 1, ""),
        ((8, 9, 10), 2, "2024"),
    ],
    ids=["a word", "half a character", "all", "half a Latin word", "Latin word", "half a number", "number"],
)
@pytest.mark.parametrize("lang", ["zh", "zh-CN", "yue", "ja"])
def test_chinese_is_cut_to_characters(draft: tuple[int, ...], accepted: int, kept: str, lang: str) -> None:
    assert cut(CHINESE, draft, accepted, lang) == kept


def test_chinese_text_under_a_word_language_is_one_word() -> None:
    assert cut(CHINESE, (0, 1, 2), 2, "de") == ""


def test_a_thai_tone_mark_is_not_cut_off() -> None:
    assert cut(THAI, (0, 1, 2), 1, "th") == ""
    assert cut(THAI, (0, 1, 2), 2, "th") == "ไม่"


TEXTS = st.text(alphabet="abÄß .,\n😀今天", max_size=24)


@given(TEXTS, st.data())
def test_kept_words_are_words_of_the_draft(text: str, data: st.DataObject) -> None:
    draft = text_ids(BPE, text)
    accepted = data.draw(st.integers(0, len(draft)))
    ids, kept = supported_part(BPE, draft, accepted, "de", draft_ends=True)
    assert ids == draft[: len(ids)]
    assert len(ids) <= accepted
    assert text.startswith(kept)
    assert kept.split() == text.split()[: len(kept.split())]
    assert kept == kept.rstrip()


@given(TEXTS, st.data())
def test_kept_characters_are_characters_of_the_draft(text: str, data: st.DataObject) -> None:
    draft = text_ids(BPE, text)
    accepted = data.draw(st.integers(0, len(draft)))
    ids, kept = supported_part(BPE, draft, accepted, "zh", draft_ends=True)
    assert ids == draft[: len(ids)]
    assert text.startswith(kept)


@given(TEXTS, st.sampled_from(["de", "zh"]))
def test_more_accepted_tokens_never_keep_less(text: str, lang: str) -> None:
    draft = text_ids(BPE, text)
    lengths = [
        len(supported_part(BPE, draft, accepted, lang, draft_ends=True)[0])
        for accepted in range(len(draft) + 1)
    ]
    assert lengths == sorted(lengths)
    assert decode(BPE, draft[: lengths[-1]]) == text.rstrip()


@given(st.lists(st.integers(0, 447), max_size=12), st.sampled_from(["de", "zh"]), st.booleans())
def test_any_ids_give_a_prefix_of_whole_characters(draft: list[int], lang: str, ends: bool) -> None:
    ids, text = supported_part(BPE, draft, len(draft), lang, draft_ends=ends)
    assert ids == tuple(draft[: len(ids)])
    assert "\ufffd" not in text
    assert not set(ids) & set(BPE.all_special_ids)
