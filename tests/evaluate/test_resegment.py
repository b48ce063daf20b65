"""Resegmentation is exact, safe on empty references, and keeps every unit once."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.latency.timed import TimedOutput
from evaluate.resegment import (
    Alignment,
    ReferencesError,
    Segment,
    align_segments,
    cut_recording,
    read_references,
    read_segments,
)

words = st.lists(st.sampled_from(["a", "b", "ab", "c", ","]), max_size=5)
references = st.lists(
    st.lists(st.sampled_from(["a", "b", "ab", "c", ","]), max_size=3), min_size=1, max_size=3
)
ALIGNMENTS = pytest.mark.parametrize("alignment", ["mwer", "soft"])


def edits(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    @cache
    def distance(i: int, j: int) -> float:
        if not i or not j:
            return i + j
        pair = distance(i - 1, j - 1) + (hypothesis[i - 1] != reference[j - 1])
        return min(pair, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(hypothesis), len(reference))


def unlikeness(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    @cache
    def worth(i: int, j: int) -> float:
        if not i or not j:
            return 0.0
        left, right = hypothesis[i - 1], reference[j - 1]
        likeness = len({*left} & {*right}) / len({*left} | {*right})
        pair = -1e9 if (left == ",") != (right == ",") else worth(i - 1, j - 1) + likeness
        return max(pair, worth(i - 1, j), worth(i, j - 1))

    return -worth(len(hypothesis), len(reference))


@ALIGNMENTS
@settings(deadline=None, max_examples=150)
@given(hypothesis=words, refs=references)
def test_no_other_cut_costs_less(alignment: Alignment, hypothesis: list[str], refs: list[list[str]]) -> None:
    def cost(bounds: Sequence[int]) -> float:
        score = edits if alignment == "mwer" else unlikeness
        pieces = [hypothesis[a:b] for a, b in pairwise(bounds)]
        return sum(score(tuple(piece), tuple(ref)) for piece, ref in zip(pieces, refs, strict=True))

    bounds = align_segments(hypothesis, refs, alignment)
    cuts = combinations_with_replacement(range(len(hypothesis) + 1), len(refs) - 1)
    assert cost(bounds) == pytest.approx(min(cost((0, *cut, len(hypothesis))) for cut in cuts), abs=1e-3)


@ALIGNMENTS
@settings(deadline=None, max_examples=100)
@given(hypothesis=words, refs=references)
def test_bounds_never_decrease_and_an_empty_reference_gets_nothing(
    alignment: Alignment, hypothesis: list[str], refs: list[list[str]]
) -> None:
    bounds = align_segments(hypothesis, refs, alignment)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, len(hypothesis), len(refs) + 1)
    assert bounds == sorted(bounds)
    if any(refs):
        for i, ref in enumerate(refs[1:], start=1):
            assert ref or bounds[i] == bounds[i + 1]


@ALIGNMENTS
def test_words_before_the_first_spoken_reference_go_to_it(alignment: Alignment) -> None:
    assert align_segments(["x", "a", "b"], [[], ["a"], [], ["b"], []], alignment) == [0, 0, 2, 2, 3, 3]


@ALIGNMENTS
def test_references_that_are_all_empty_leave_everything_in_the_first_segment(alignment: Alignment) -> None:
    assert align_segments(["a", "b"], [[], []], alignment) == [0, 2, 2]
    assert align_segments([], [["a"], ["b"]], alignment) == [0, 0, 0]


def test_a_word_with_another_ending_holds_its_sentence_together_in_the_soft_alignment() -> None:
    refs = [["er", "geht"], ["Katzen", "schlafen"]]
    assert align_segments(["er", "Katze", "schläft"], refs, "soft") == [0, 1, 3]


def test_case_does_not_part_words_when_edits_are_counted() -> None:
    assert align_segments(["a", "Good"], [["a", "b"], ["good"]], "mwer") == [0, 1, 2]


def test_punctuation_stands_for_no_word_in_the_soft_alignment() -> None:
    refs = [["a"], ["q", "b"]]
    assert align_segments(["a", ",", "b"], refs, "soft") == [0, 2, 3]
    assert align_segments(["a", "x", "b"], refs, "soft") == [0, 1, 3]


def talk(text: str, delays_ms: list[float]) -> TimedOutput:
    return TimedOutput(
        id="talk", source_ms=9000.0, unit="word", text=text, delays_ms=tuple(delays_ms),
        aware_ms=tuple(delay + 100 for delay in delays_ms), reference=None,
    )  # fmt: skip


def segment(offset_ms: float, duration_ms: float, reference: str) -> Segment:
    return Segment(recording="talk", offset_ms=offset_ms, duration_ms=duration_ms, reference=reference)


def test_times_count_from_the_segment_and_text_is_cut_where_the_units_are() -> None:
    cuts = cut_recording(
        talk("good  day to all", [1000.0, 2000.0, 2000.0, 6000.0]),
        [segment(500.0, 2000.0, "good day"), segment(4000.0, 4000.0, "to all")],
        alignment="mwer",
    )
    assert [cut.text for cut in cuts] == ["good  day", "to all"]
    assert cuts[0].delays_ms == (500.0, 1500.0)
    assert cuts[1].delays_ms == (-2000.0, 2000.0)
    assert cuts[1].aware_ms == (-1900.0, 2100.0)
    assert [cut.recording_end_ms for cut in cuts] == [8500.0, 5000.0]


@settings(deadline=None, max_examples=60)
@given(hypothesis=words, refs=references)
def test_no_unit_is_lost_or_doubled(hypothesis: list[str], refs: list[list[str]]) -> None:
    whole = talk(" ".join(hypothesis), [1000.0 * i for i in range(len(hypothesis))])
    segments = [segment(1000.0 * i, 1000.0, " ".join(ref)) for i, ref in enumerate(refs)]
    cuts = cut_recording(whole, segments, alignment="soft")
    assert " ".join(cut.text for cut in cuts).split() == hypothesis
    assert sum(len(cut.delays_ms) for cut in cuts) == len(hypothesis)


@pytest.mark.slow
def test_a_talk_of_20000_words_is_cut_exactly_where_it_was_joined() -> None:
    refs = [[f"w{(i * 7919 + j * j) % 4001}" for j in range(15)] for i in range(1333)]
    hypothesis = [word for ref in refs for word in ref if word[-1] != "7"]  # a tenth of the words is omitted
    starts = [0]
    for ref in refs:
        starts.append(starts[-1] + sum(word[-1] != "7" for word in ref))
    assert align_segments(hypothesis, refs, "mwer") == starts


def test_segments_are_read_from_yaml_with_their_references(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("- {wav: a/talk.wav, offset: 0.5, duration: 3.25, speaker_id: s}\n", encoding="utf-8")
    assert read_segments(path, ["hi"]) == [segment(500.0, 3250.0, "hi")]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("- {wav: a.wav, offset: 0.5}", r"t\.yaml:1: duration must be a number of seconds, got None"),
        ("- {wav: a.wav, offset: x, duration: 1}", "offset must be a number"),
        ("- {wav: a.wav, offset: 0, duration: 0}", "a duration above 0 s"),
        ("- {wav: a.wav, offset: 0, duration: inf}", "duration must be a number"),
        ("- {offset: 0, duration: 1}", "names its wav"),
        ("- just text", "no mapping"),
        ("", "lists 0 segments, but there are 1 references"),
    ],
)
def test_a_bad_segment_is_named(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(entry + "\n", encoding="utf-8")
    with pytest.raises(ReferencesError, match=message):
        read_segments(path, ["hi"])


def test_a_reference_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ref.de"
    path.write_bytes(b"gut\n" + b"\xff\n")
    with pytest.raises(ReferencesError, match=r"ref\.de:2 is not UTF-8"):
        read_references(path)
