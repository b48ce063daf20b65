"""Units and their delays, whatever the bytes and wherever the steps cut them."""

import bisect
import re
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.trace import Step
from evaluate.units import Unit, align_pieces, align_units, choose_unit, split_units, unit_spans
from tests.evaluate.scripted import TOKENIZER, ids

texts = st.text(st.sampled_from("aeß ü好天😀.\n\u3000"), max_size=30) | st.text(
    st.characters(exclude_categories=("Cs",)), max_size=20
)


@settings(deadline=None, max_examples=100)
@given(text=texts, cuts=st.lists(st.integers(0, 120), max_size=6), unit=st.sampled_from(["word", "char"]))
def test_every_unit_is_delayed_to_the_step_that_wrote_its_last_byte(
    text: str, cuts: list[int], unit: Unit
) -> None:
    tokens = ids(text)
    edges = [0, *sorted(min(cut, len(tokens)) for cut in cuts), len(tokens)]
    steps = [
        Step(audio_ms=100.0 * (k + 1), token_ids=tokens[a:b]) for k, (a, b) in enumerate(pairwise(edges))
    ]
    final, emissions = align_units(TOKENIZER, steps, unit)

    written = list(accumulate(len(step.token_ids) for step in steps))
    pattern = r"\S+" if unit == "word" else r"\S"
    ends = [len(text[: match.end()].encode()) for match in re.finditer(pattern, text)]
    assert final == text.strip()
    assert [emission.unit for emission in emissions] == split_units(text, unit)
    assert [emission.delay_ms for emission in emissions] == [
        steps[bisect.bisect_left(written, end)].audio_ms for end in ends
    ]


@settings(deadline=None, max_examples=100)
@given(texts)
def test_words_are_those_of_str_split(text: str) -> None:
    assert split_units(text, "word") == text.split()


def test_no_steps_write_nothing() -> None:
    assert align_units(TOKENIZER, [], "word") == ("", ())


@pytest.mark.parametrize(
    ("setting", "lang", "unit"),
    [("auto", "de", "word"), ("auto", "ja", "char"), ("auto", "zh_Hans", "char"), ("word", "zh", "word")],
)
def test_the_unit_follows_the_language_unless_it_is_set(setting: str, lang: str, unit: str) -> None:
    assert choose_unit(setting, lang) == unit  # type: ignore[arg-type]


def piece_steps(*written: tuple[int, list[str]]) -> list[Step]:
    """Steps of 1 s that erase some pieces and append others."""
    return [
        Step(audio_ms=1000.0 * (k + 1), token_ids=(), pieces=tuple(pieces), erased=erased)
        for k, (erased, pieces) in enumerate(written)
    ]


def delays(unit: Unit, *written: tuple[int, list[str]]) -> tuple[str, list[float]]:
    text, emissions = align_pieces(piece_steps(*written), unit)
    assert [emission.unit for emission in emissions] == split_units(text, unit)
    return text, [emission.delay_ms for emission in emissions]


def test_pieces_without_any_space_are_words_or_characters() -> None:
    assert delays("word", (0, ["good", "day"]), (0, ["all"])) == ("good day all", [1000, 1000, 2000])
    assert delays("char", (0, ["今", "天"]), (0, ["好"])) == ("今天好", [1000, 1000, 2000])


def test_pieces_with_marks_or_spaces_join_to_words_that_count_when_their_last_piece_is_there() -> None:
    assert delays("word", (0, ["▁good", "▁d"]), (0, ["ay"])) == ("good day", [1000, 2000])
    assert delays("word", (0, ["good", " d"]), (0, ["ay "]), (0, ["all"])) == (
        "good day all",
        [1000, 2000, 3000],
    )


def test_a_word_that_is_erased_and_written_again_counts_when_it_was_written_again() -> None:
    written = [(0, ["I", "would"]), (1, ["want", "a"]), (0, []), (2, ["want", "the", "cake"])]
    assert delays("word", *written) == ("I want the cake", [1000, 4000, 4000, 4000])


def test_a_word_that_loses_its_end_was_completed_when_it_lost_it() -> None:
    assert delays("word", (0, ["▁two", "▁cake", "s"]), (1, [])) == ("two cake", [1000, 2000])
    assert delays("word", (0, ["▁two", "▁cakes"]), (1, [])) == ("two", [1000])
    assert delays("char", (0, ["好", "的"]), (1, [])) == ("好", [1000])


def test_erasing_more_than_stands_is_refused() -> None:
    with pytest.raises(ValueError, match="step 1 erases 2 pieces, but only 1 stand"):
        align_pieces(piece_steps((0, ["a"]), (2, ["b"])), "word")


@settings(deadline=None, max_examples=100)
@given(
    written=st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.sampled_from(["▁a", "b", "▁c", ""]), max_size=4)), max_size=6
    ),
    unit=st.sampled_from(["word", "char"]),
)
def test_pieces_give_the_text_that_stands_at_the_end(
    written: list[tuple[int, list[str]]], unit: Unit
) -> None:
    standing: list[str] = []
    possible = []
    for erased, pieces in written:
        count = min(erased, len(standing))
        standing = [*standing[: len(standing) - count], *pieces]
        possible.append((count, [*pieces]))
    text, emissions = align_pieces(piece_steps(*possible), unit)
    marked = any("▁" in piece for _, pieces in possible for piece in pieces)
    if marked:
        assert text == "".join(standing).replace("▁", " ").strip()
    assert [emission.unit for emission in emissions] == split_units(text, unit)
    found = [emission.delay_ms for emission in emissions]
    assert all(0 < delay <= 1000 * len(possible) for delay in found)


@settings(deadline=None, max_examples=100)
@given(text=texts, unit=st.sampled_from(["word", "char"]))
def test_spans_cut_a_text_into_its_units(text: str, unit: Unit) -> None:
    assert [text[a:b] for a, b in unit_spans(text, unit)] == split_units(text, unit)
