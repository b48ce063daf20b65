"""BLEU and chrF: signatures, references of any number, and statistics that add up to sacreBLEU's score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu import corpus_bleu

from evaluate.quality import (
    bleu_from_statistics,
    bleu_statistics,
    bleu_tokenizer,
    pad_references,
    report_edit_rate,
    report_quality,
)

sentences = st.lists(st.sampled_from(["der", "Hund", "sieht", "eine", "Katze,", "heute."]), max_size=9).map(
    " ".join
)
references = st.lists(sentences.filter(bool), min_size=1, max_size=3)
corpora = st.lists(st.tuples(sentences, references), min_size=1, max_size=6)


@settings(deadline=None, max_examples=100)
@given(corpora)
def test_summed_statistics_give_sacrebleus_corpus_score(corpus: list[tuple[str, list[str]]]) -> None:
    hypotheses, refs = [hyp for hyp, _ in corpus], [refs for _, refs in corpus]
    stats = bleu_statistics(hypotheses, refs, lang="de")
    streams = pad_references(refs)
    expected = corpus_bleu(hypotheses, streams, force=True).score
    assert float(bleu_from_statistics(stats.sum(axis=0))) == pytest.approx(expected, abs=1e-9)
    assert report_quality(hypotheses, refs, lang="de").bleu == pytest.approx(expected, abs=1e-9)


def test_bleu_of_many_summed_corpora_is_one_array_call() -> None:
    stats = bleu_statistics(["ein guter Tag heute", "nein"], [["ein guter Tag heute"], ["ja"]], lang="de")
    scores = bleu_from_statistics(np.stack([stats[0], stats[1], stats.sum(axis=0)]))
    assert scores[0] == pytest.approx(100.0)
    assert scores[1] == 0.0
    assert 0 < scores[2] < 100


def test_references_are_padded_to_the_longest_list() -> None:
    assert pad_references([["a"], ["b", "c"]]) == [["a", "b"], [None, "c"]]


def test_an_utterance_without_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reference"):
        pad_references([["a"], []])


def test_any_of_several_references_makes_a_perfect_score() -> None:
    report = report_quality(
        ["sie kauft das neue Auto", "er geht jetzt nach Hause"],
        [["sie kauft den neuen Wagen", "sie kauft das neue Auto"], ["er geht jetzt nach Hause"]],
        lang="de",
    )
    assert report.bleu == pytest.approx(100.0)
    assert report.chrf == pytest.approx(100.0)


def test_signatures_name_the_tokenizer_of_the_language() -> None:
    assert "tok:13a" in report_quality(["a"], [["a"]], lang="de").bleu_signature
    chinese = report_quality(["今天天气"], [["今天天气"]], lang="zh-CN")
    assert "tok:zh" in chinese.bleu_signature
    assert "version:" in chinese.chrf_signature
    assert chinese.bleu == pytest.approx(100.0)


def test_japanese_without_mecab_is_scored_by_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.quality.find_spec", lambda name: None)
    assert bleu_tokenizer("ja") == "char"
    monkeypatch.setattr("evaluate.quality.find_spec", lambda name: object())
    assert bleu_tokenizer("ja") == "ja-mecab"


def test_ter_counts_edits_per_reference_word_and_a_shift_as_one() -> None:
    assert report_edit_rate(["a b c d"], [["a b c d"]], lang="de").ter == 0.0
    assert report_edit_rate(["a b c x"], [["a b c d"]], lang="de").ter == 25.0
    assert report_edit_rate(["c d a b"], [["a b c d"]], lang="de").ter == 25.0


def test_an_empty_hypothesis_costs_ter_the_whole_reference() -> None:
    report = report_edit_rate(["", "gut"], [["a b c"], ["gut", "schön so"]], lang="de")
    assert report.ter == pytest.approx(100 * 3 / (3 + 1.5))
    assert "tok:tercom" in report.signature


def test_ter_of_chinese_counts_characters_and_that_of_thai_is_refused() -> None:
    assert report_edit_rate(["今天好"], [["今天很好"]], lang="zh").ter == 25.0
    with pytest.raises(ValueError, match="Thai"):
        report_edit_rate(["กข"], [["กข"]], lang="th")
