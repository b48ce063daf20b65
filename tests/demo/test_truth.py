"""What a truncation supports, and how a partial translation is scored against it."""

import pytest

from demo.corpus import Spec, make_utterance
from demo.truth import Alternative, Truth, truth_to_json

WORDS_MS = 1600  # samples of 100 ms


def toy(*translations: tuple[str, list[int]], num_words: int = 6) -> Truth:
    ends = tuple(WORDS_MS * (i + 1) for i in range(num_words))
    return Truth(
        id="toy",
        split="test",
        pattern="toy",
        num_samples=WORDS_MS * (num_words + 1),
        word_ends_sample=ends,
        source_words=tuple(f"w{i}" for i in range(num_words)),
        translations=tuple(Alternative(words=tuple(t.split()), needs=tuple(n)) for t, n in translations),
    )


MODAL = toy(
    ("der Arzt wird morgen das Museum besuchen", [2, 2, 3, 6, 6, 6, 6]),
    ("der Arzt wird das Museum morgen besuchen", [2, 2, 3, 5, 5, 6, 6]),
)


def test_a_word_is_heard_when_its_last_sample_is_kept() -> None:
    assert [MODAL.words_heard(n) for n in (0, 1599, 1600, 3200, 99_999)] == [0, 0, 1, 2, 6]


def test_gold_prefix_takes_the_alternative_that_may_say_most() -> None:
    assert MODAL.gold_prefix(3 * WORDS_MS) == "der Arzt wird"
    assert MODAL.gold_prefix(5 * WORDS_MS) == "der Arzt wird das Museum"
    assert MODAL.gold_prefix(6 * WORDS_MS) == "der Arzt wird morgen das Museum besuchen"


@pytest.mark.parametrize(
    ("text", "heard", "over", "under"),
    [
        ("", 1, 0, 0),
        ("der Arzt wird", 3, 0, 0),
        ("der Arzt", 3, 0, 1),
        ("der Arzt wird morgen", 3, 1, 0),
        ("Der Arzt, wird.", 3, 0, 0),
        ("der Arzt wird das Museum", 5, 0, 0),
        ("die Frau", 3, 2, 3),
        ("der Arzt wird das Auto morgen", 6, 2, 3),
        ("der Arzt wird das Museum morgen besuchen heute", 6, 1, 0),
    ],
)
def test_score_counts_words_beyond_and_words_short_of_the_most_forgiving_alternative(
    text: str, heard: int, over: int, under: int
) -> None:
    score = MODAL.score_prefix(text, heard * WORDS_MS)
    assert (score.over, score.under) == (over, under)
    assert score.exact == (over == under == 0)


def test_a_perfect_interpreter_speaks_at_the_end_of_the_needed_word() -> None:
    assert MODAL.delays_ms(MODAL.translations[1]) == [200, 200, 300, 500, 500, 600, 600]


@pytest.mark.parametrize("index", range(12))
def test_real_truth_is_consistent_at_every_cut(index: int) -> None:
    truth, speech = make_utterance(Spec(split="train", index=index, seed=7))
    assert truth.num_samples == len(speech.pcm)
    assert list(truth.word_ends_sample) == sorted(set(truth.word_ends_sample))
    lengths = []
    for kept in range(0, truth.num_samples + 1, 1600):
        gold = truth.gold_prefix(kept)
        assert truth.score_prefix(gold, kept).exact
        lengths.append(len(gold.split()))
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert truth.gold_prefix(truth.num_samples) in truth.references


def test_truth_survives_a_round_trip_through_json() -> None:
    import json

    from demo.truth import _from_record

    assert _from_record(json.loads(truth_to_json(MODAL))) == MODAL
