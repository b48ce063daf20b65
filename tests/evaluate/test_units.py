"""Units and their delays, whatever the bytes and wherever the steps cut them."""

import bisect
import re
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.trace import Step
from evaluate.units import Unit, align_units, choose_unit, split_units
from tests.evaluate.scripted import TOKENIZER, ids

texts = st.text(st.sampled_from("aeß ü好天😀.\n\u3000"), max_size=30) | st.text(
    st.characters(exclude_categories=("Cs",)), max_size=20
)


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
