"""Error marks: what of an output its references say, and what they say that it leaves out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.report.sentence import mark_errors, sentence_chrf

WORDS = st.lists(st.sampled_from(["der", "die", "das", "Haus,", "haus", "rot", ".", "läuft"]), max_size=8)


def test_case_and_punctuation_are_no_errors() -> None:
    marked = mark_errors(["das", "haus", "ist", "rot."], [["Das", "Haus", "ist", "rot"]])
    assert marked.errors == 0


def test_wrong_and_missing_units_are_named() -> None:
    marked = mark_errors(["ein", "Haus", "war"], [["das", "Haus", "war", "rot"]])
    assert marked.right == (False, True, True)
    assert marked.missing == ("das", "rot")
    assert marked.errors == 3


def test_the_closest_reference_decides() -> None:
    marked = mark_errors(["heim"], [["nach", "Hause"], ["heim"]])
    assert marked.errors == 0


def test_punctuation_alone_is_a_unit_of_its_own() -> None:
    assert mark_errors(["!"], [["?"]]).errors == 2


@settings(deadline=None, max_examples=200)
@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_every_unit_is_right_or_wrong_and_the_right_ones_are_in_some_reference(
    units: list[str], references: list[list[str]]
) -> None:
    marked = mark_errors(units, references)
    assert len(marked.right) == len(units)
    assert any(len(reference) == sum(marked.right) + len(marked.missing) for reference in references)
    assert mark_errors(units, [*references, units]).errors == 0


def test_chrf_is_whole_for_any_reference_and_nothing_for_silence() -> None:
    assert sentence_chrf("das Haus", ["ein Baum", "das Haus"]) == 100.0
    assert sentence_chrf("", ["das Haus"]) == 0.0
