"""Word order against the reference: the cases that can be counted by hand, and what must hold of all others."""

import math
import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.monotonicity import kendall, matched_positions, word_order

LETTERS = st.lists(st.sampled_from("abcde"), max_size=9)


def order(text: str, *references: str) -> tuple[float, float]:
    found = word_order(text.split(), [reference.split() for reference in references])
    return found.monotonicity, found.matched


@pytest.mark.parametrize(
    ("text", "reference", "monotonicity"),
    [
        ("a b c d", "a b c d", 1.0),
        ("d c b a", "a b c d", 0.0),
        ("c d a b", "a b c d", 2 / 6),  # only the pairs inside c d and a b ascend
        ("a b d c", "a b c d", 5 / 6),
        ("a x d y c", "a b c d", 2 / 3),  # of a d c, only d c descends
    ],
)
def test_pairs_in_the_references_order_are_counted(text: str, reference: str, monotonicity: float) -> None:
    assert order(text, reference)[0] == pytest.approx(monotonicity)


def test_cause_and_effect_swapped_is_told_from_other_words_in_the_right_order() -> None:
    """The kind of example that Isozaki et al. 2010 begin with: n-grams hardly notice the first, order does."""
    reference = "he caught a cold because he got soaked in the rain"
    assert order("he got soaked in the rain because he caught a cold", reference)[0] < 0.5
    assert order("he caught a cold because he had gotten wet in the rain", reference)[0] == 1.0


def test_a_repeated_unit_is_found_by_its_neighbours() -> None:
    swapped = matched_positions(["the", "cat", "saw", "the", "dog"], ["the", "dog", "saw", "the", "cat"])
    assert swapped == [3, 4, 2, 0, 1]
    assert matched_positions(["x", "x"], ["x", "x"]) == [
        0,
        1,
    ]  # the pair is unique: one by its right, one by its left
    assert matched_positions(["x", "x", "x"], ["x", "x"]) == []


def test_one_place_of_the_reference_is_taken_once() -> None:
    assert matched_positions(["a", "x", "c", "x", "b"], ["a", "x", "b"]) == [0, 1, 2]


def test_case_and_punctuation_do_not_count() -> None:
    assert order("Heute, regnet es!", "es regnet heute.") == order("heute regnet es", "es regnet heute")
    assert order("- a", "a -") == (0.0, 1.0)  # a unit of nothing but punctuation is kept


def test_the_reference_that_matches_most_decides_and_of_equals_the_one_in_similar_order() -> None:
    assert order("a b c", "c b a", "a b c") == (1.0, 1.0)
    assert order("a b c", "a b", "c b a") == (0.0, 1.0)


def test_without_two_matches_there_is_no_order() -> None:
    assert math.isnan(order("a x", "a b")[0])
    assert order("a x", "a b")[1] == 0.5
    assert all(math.isnan(value) for value in order("", "a b"))
    assert math.isnan(order("a b", "")[0])


@settings(deadline=None, max_examples=200)
@given(LETTERS, LETTERS)
def test_matches_are_true_and_each_place_is_used_once(units: list[str], reference: list[str]) -> None:
    found = matched_positions(units, reference)
    assert len(set(found)) == len(found) <= min(len(units), len(reference))
    assert all(reference[at] in units for at in found)


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 30), st.integers(0, 99))
def test_order_is_kendalls_tau_and_turns_round_with_the_output(size: int, seed: int) -> None:
    positions = random.Random(seed).sample(range(size), size)
    ascending = sum(a < b for a, b in combinations(positions, 2))
    assert kendall(positions) == pytest.approx(ascending / math.comb(size, 2))
    assert kendall(positions[::-1]) == pytest.approx(1 - kendall(positions))
