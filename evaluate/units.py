"""Units of output and when each was complete: words, or characters for languages written without spaces."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

from evaluate.trace import Emission, Step
from lalm.languages import is_character_language

Unit = Literal["word", "char"]
_UNIT = {"word": re.compile(r"\S+"), "char": re.compile(r"\S")}
_SPM_SPACE = "\u2581"
"""How SentencePiece writes the space before a word."""


def choose_unit(setting: Literal["auto", "word", "char"], lang: str) -> Unit:
    """The unit that latency counts; auto follows the target language."""
    if setting != "auto":
        return setting
    return "char" if is_character_language(lang) else "word"


def split_units(text: str, unit: Unit) -> list[str]:
    """The units of a text; white space separates words and is never a unit itself."""
    return _UNIT[unit].findall(text)


def unit_spans(text: str, unit: Unit) -> list[tuple[int, int]]:
    """Where each unit begins and ends in a text."""
    return [match.span() for match in _UNIT[unit].finditer(text)]


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


def separate_pieces(pieces: Sequence[str], unit: Unit) -> list[str]:
    """The pieces with their spaces made explicit, so that joining them gives the text.

    SentencePiece marks and white space say where words begin. Pieces without either are whole words, or
    characters where those are the unit.
    """
    if any(_SPM_SPACE in piece for piece in pieces):
        return [piece.replace(_SPM_SPACE, " ") for piece in pieces]
    if unit == "char" or any(piece[:1].isspace() or piece[-1:].isspace() for piece in pieces):
        return list(pieces)
    return [" " + piece for piece in pieces]


def align_pieces(steps: Sequence[Step], unit: Unit) -> tuple[str, tuple[Emission, ...]]:
    """The final text of steps that write and erase pieces, and the step that completed each unit.

    A unit that was erased and written again counts when it was written again; one that lost or gained a part,
    when that happened. Raises ValueError where a step erases more pieces than stand.
    """
    standing: list[tuple[str, int]] = []
    for number, (step, pieces) in enumerate(zip(steps, _spaced(steps, unit), strict=True)):
        kept = len(standing) - step.erased
        if kept < 0:
            raise ValueError(f"step {number} erases {step.erased} pieces, but only {len(standing)} stand")
        lost_its_end = unit == "word" and _splits_a_word(standing, kept)
        del standing[kept:]
        if lost_its_end:
            standing[-1] = (standing[-1][0], number)
        standing.extend((piece, number) for piece in pieces)
    text = "".join(piece for piece, _ in standing)
    starts = [0, *accumulate(len(piece) for piece, _ in standing)]
    emissions = []
    for begin, end in unit_spans(text, unit):
        first, last = bisect_right(starts, begin) - 1, bisect_right(starts, end - 1)
        number = max(number for _, number in standing[first:last])
        emissions.append(Emission(unit=text[begin:end], delay_ms=steps[number].audio_ms, step=number))
    return text.strip(), tuple(emissions)


def erased_units(steps: Sequence[Step], unit: Unit) -> int:
    """How many units the erased pieces were; a part of a word counts as one."""
    standing: list[str] = []
    count = 0
    for step, pieces in zip(steps, _spaced(steps, unit), strict=True):
        kept = len(standing) - step.erased
        count += len(split_units("".join(standing[kept:]), unit))
        standing[kept:] = pieces
    return count


def _spaced(steps: Sequence[Step], unit: Unit) -> list[list[str]]:
    """The separated pieces of every step."""
    separated = iter(separate_pieces([piece for step in steps for piece in step.pieces], unit))
    return [[next(separated) for _ in step.pieces] for step in steps]


def _splits_a_word(standing: Sequence[tuple[str, int]], kept: int) -> bool:
    """Whether the first `kept` pieces end inside a word."""
    if not 0 < kept < len(standing):
        return False
    before, after = standing[kept - 1][0], standing[kept][0]
    return not before[-1:].isspace() and not after[:1].isspace()


def _decoded_prefixes(tokenizer: Any, steps: Sequence[Step]) -> list[str]:
    """The text of all tokens after each step."""
    from lalm.prompts import decode  # loads torch, which scoring a log does without

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
