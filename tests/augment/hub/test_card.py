"""Republishing rewrites its own part of a card and no other."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.card import BEGIN, END, CardError, merge_card

GENERATED = f"---\nlicense: mit\ntags:\n- a\n---\n{BEGIN}\n\n# New\n\n{END}\n"
OLDER = f"---\nlicense: unknown\nlicense_name: old\ntags:\n- a\n---\n{BEGIN}\n\n# Old\n\n{END}\n"

prose = st.text(st.characters(codec="utf-8", exclude_characters="\r")).filter(
    lambda text: "<!-- simulsa" not in text and not text.lstrip().startswith("---") and "\ufeff" not in text
)


def merged(published: str) -> str:
    return merge_card(GENERATED, published.encode())


@settings(deadline=None, max_examples=200)
@given(above=prose, below=prose)
def test_text_around_the_marks_stays_to_the_letter(above: str, below: str) -> None:
    front, body = OLDER.split("---\n")[1:]
    published = f"---\n{front}---\n{above}\n{body.strip()}\n{below}"

    card = merged(published)

    assert card == f"---\nlicense: mit\ntags:\n- a\n---\n{above}\n{BEGIN}\n\n# New\n\n{END}\n{below}"
    assert merged(card) == card


@settings(deadline=None, max_examples=200)
@given(prose)
def test_a_card_without_marks_is_a_persons_and_stays_whole_below(text: str) -> None:
    card = merged(text)
    assert card.startswith(GENERATED)
    assert card.removeprefix(GENERATED).strip("\n") == text.strip("\n")
    assert merged(card) == card


def test_a_first_publication_is_the_generated_card() -> None:
    assert merge_card(GENERATED, None) == merged(OLDER) == GENERATED


def test_a_persons_yaml_keys_and_tags_stay_and_ours_are_renewed() -> None:
    card = merged(OLDER.replace("tags:\n- a\n", "tags:\n- mine\n- a\nviewer: false\n"))
    front = yaml.safe_load(card.split("---\n")[1])
    assert front == {"license": "mit", "tags": ["a", "mine"], "viewer": False}


def test_windows_line_ends_and_a_byte_order_mark_are_understood() -> None:
    assert merge_card(GENERATED, b"\xef\xbb\xbf" + OLDER.replace("\n", "\r\n").encode()) == GENERATED


@pytest.mark.parametrize(
    ("published", "message"),
    [
        (OLDER.replace(END, ""), "has 1 and 0"),
        (OLDER.replace(BEGIN, ""), "has 0 and 1"),
        (OLDER + OLDER, "has 2 and 2"),
        (f"{END}\n{BEGIN}\n", "has 1 and 1"),
        ("---\na: [\n---\n", "YAML of the published README.md cannot be read"),
        ("---\n- a\n---\n", "must be a mapping"),
    ],
)
def test_a_card_that_cannot_be_understood_is_refused_not_guessed(published: str, message: str) -> None:
    with pytest.raises(CardError, match=message):
        merged(published)


def test_a_card_that_is_no_text_is_refused() -> None:
    with pytest.raises(CardError, match="must be UTF-8"):
        merge_card(GENERATED, b"\xff\xfe")
