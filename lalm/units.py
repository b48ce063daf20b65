"""Whole units of text in tokens: words, or characters for languages written without spaces.

A unit is cut where the *next* token proves it whole; a token sequence alone cannot tell "Haus" from the
beginning of "Haustür".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from lalm.languages import base_language, is_character_language
from lalm.prompts import decode

__all__ = ["base_language", "cut_to_whole_units", "is_character_language"]

BROKEN = "\ufffd"
"""What byte-level tokenizers decode the first bytes of an unfinished character to."""
_JOINER = "\u200d"
_LAST_LATIN = "\u024f"


def cut_to_whole_units(
    tokenizer: Any, token_ids: Sequence[int], lang: str, next_id: int | None
) -> tuple[tuple[int, ...], str]:
    """The longest beginning of the tokens that ends with a whole unit and without white space, and its text.

    `next_id` is the token that would have followed; None says that the text ends here, so its last unit is
    whole.
    """
    followers = (*token_ids, next_id)
    for length in range(len(token_ids), 0, -1):
        kept = tuple(token_ids[:length])
        if _ends_whole(tokenizer, kept, followers[length], is_character_language(lang)):
            return kept, decode(tokenizer, kept)
    return (), ""


def _ends_whole(tokenizer: Any, kept: tuple[int, ...], next_id: int | None, by_character: bool) -> bool:
    text = decode(tokenizer, kept)
    if text.endswith(BROKEN) or text[-1:].isspace():
        return False  # A space belongs to the unit that follows, so that a prefix ends as training text does.
    if next_id is None:
        return True
    follow = decode(tokenizer, (*kept, next_id)).removeprefix(text)
    if by_character:
        return not _belong_together(text[-1:], follow[:1])
    return not follow or follow[0].isspace()


def _belong_together(left: str, right: str) -> bool:
    """Whether no unit ends between two characters: a Thai tone mark, a joined emoji, a Latin word or a number."""
    if not left or not right:
        return False
    if unicodedata.category(right).startswith("M") or _JOINER in (left, right):
        return True
    return left.isalnum() and right.isalnum() and max(left, right) <= _LAST_LATIN
