"""Units of output and when each was complete: words, or characters for languages written without spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from evaluate.trace import Emission, Step
from lalm.prompts import decode
from lalm.units import is_character_language

Unit = Literal["word", "char"]
_UNIT = {"word": re.compile(r"\S+"), "char": re.compile(r"\S")}


def choose_unit(setting: Literal["auto", "word", "char"], lang: str) -> Unit:
    """The unit that latency counts; auto follows the target language."""
    if setting != "auto":
        return setting
    return "char" if is_character_language(lang) else "word"


def split_units(text: str, unit: Unit) -> list[str]:
    """The units of a text; white space separates words and is never a unit itself."""
    return _UNIT[unit].findall(text)


def align_units(tokenizer: Any, steps: Sequence[Step], unit: Unit) -> tuple[str, tuple[Emission, ...]]:
    """The final text, and every unit with the audio heard when its last token was appended.

    A character belongs to the first step from which on the decoded prefix always agrees with the final text
    up to and including it. So a character whose bytes are spread over several tokens counts when its last
    byte is there.
    """
    prefixes = _decoded_prefixes(tokenizer, steps)
    text = prefixes[-1] if prefixes else ""
    settled = _settled_lengths(prefixes, text)
    emissions = []
    step = 0
    for match in _UNIT[unit].finditer(text):
        while settled[step] < match.end():
            step += 1
        emissions.append(Emission(unit=match.group(), delay_ms=steps[step].audio_ms))
    return text.strip(), tuple(emissions)


def _decoded_prefixes(tokenizer: Any, steps: Sequence[Step]) -> list[str]:
    """The text of all tokens after each step."""
    ids: list[int] = []
    prefixes: list[str] = []
    for step in steps:
        ids.extend(step.token_ids)
        unchanged = prefixes and not step.token_ids
        prefixes.append(prefixes[-1] if unchanged else decode(tokenizer, ids))
    return prefixes


def _settled_lengths(prefixes: Sequence[str], text: str) -> list[int]:
    """How many characters of the final text each step had settled for good; never decreases, ends at all."""
    settled = [_shared_length(prefix, text) for prefix in prefixes]
    for i in range(len(settled) - 2, -1, -1):
        settled[i] = min(settled[i], settled[i + 1])
    return settled


def _shared_length(prefix: str, text: str) -> int:
    shared = 0
    while shared < min(len(prefix), len(text)) and prefix[shared] == text[shared]:
        shared += 1
    return shared
