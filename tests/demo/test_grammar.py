"""The toy language is rich enough, reorders, and keeps what is held out out of training."""

from functools import cache

import pytest

from demo.dice import Dice
from demo.grammar import Sentence, is_held_out_pair, make_sentence, split_of
from demo.patterns import PATTERNS


@cache
def sentences(split: str, count: int) -> tuple[Sentence, ...]:
    return tuple(make_sentence(Dice(f"7/{split}-{i:06d}/text"), split) for i in range(count))


def test_training_text_has_at_least_300_english_word_forms() -> None:
    assert len({word for s in sentences("train", 4000) for word in s.words}) >= 300


def test_training_text_uses_every_pattern_and_there_are_at_least_twelve() -> None:
    used = {s.pattern for s in sentences("train", 1500)}
    assert used == {name for name, _, _ in PATTERNS}
    assert len(used) >= 12


def test_at_least_a_third_of_the_sentences_have_several_translations() -> None:
    several = [s for s in sentences("train", 1500) if len(s.renderings) > 1]
    assert len(several) >= 500
    assert all(len({r.words for r in s.renderings}) == len(s.renderings) for s in several)


def test_no_sentence_has_more_translations_than_twelve() -> None:
    assert max(len(s.renderings) for s in sentences("train", 1500)) <= 12


def test_most_sentences_say_a_german_word_before_one_that_is_heard_earlier() -> None:
    """Reordering shows as words that need no more than a word before them: several wait together."""
    reordered = [s for s in sentences("train", 500) if len(set(s.renderings[0].needs)) < len(s.words)]
    assert len(reordered) > 450


def test_a_later_german_word_never_needs_less_than_an_earlier_one() -> None:
    for sentence in sentences("train", 1500):
        for rendering in sentence.renderings:
            assert list(rendering.needs) == sorted(rendering.needs)
            assert rendering.needs[0] >= 1
            assert rendering.needs[-1] <= len(sentence.words)


def test_held_out_sentences_never_occur_in_training() -> None:
    train = {s.words for s in sentences("train", 4000)}
    held_out = {s.words for split in ("dev", "test") for s in sentences(split, 40)}
    assert train.isdisjoint(held_out)
    assert all(split_of(words) == "train" for words in train)


def test_training_never_combines_a_held_out_pair() -> None:
    pairs = {pair for s in sentences("train", 4000) for pair in s.pairs}
    assert not any(map(is_held_out_pair, pairs))


def test_a_test_sentence_can_be_asked_to_hold_an_unseen_combination_of_seen_words() -> None:
    sentence = make_sentence(Dice("7/test-000000/text"), "test", held_out_pair=True)
    seen = {word for s in sentences("train", 4000) for word in s.words}
    assert any(map(is_held_out_pair, sentence.pairs))
    assert set(sentence.words) <= seen


@pytest.mark.parametrize("index", range(20))
def test_the_corpus_translation_is_one_of_the_valid_ones_and_stands_first(index: int) -> None:
    sentence = sentences("train", 1500)[index]
    again = make_sentence(Dice(f"7/train-{index:06d}/text"), "train")
    assert again == sentence
