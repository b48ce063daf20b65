"""Translation quality by sacreBLEU, with signatures, and BLEU again from summable statistics.

A hypothesis may have several references; their number may differ between utterances. A failed utterance is an
empty hypothesis: whoever calls lists it, none is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU, CHRF, TER

from lalm.languages import base_language

BLEU_ORDER = 4
BLEU_STATS = 2 + 2 * BLEU_ORDER
"""Columns: hypothesis length, reference length, then matches and totals per n-gram order."""

_CUT_BY_TER = frozenset({"zh", "yue", "ja"})
"""Languages that sacreBLEU's TER can cut into characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """Corpus BLEU and chrF on 0..100, with the signatures that make them comparable."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRate:
    """Corpus TER in per cent, lower is better, with its signature."""

    ter: float
    signature: str


def bleu_tokenizer(lang: str) -> str:
    """sacreBLEU's tokenizer of a language: zh, ja-mecab (char without MeCab), char for th, else 13a."""
    match base_language(lang):
        case "zh" | "yue":
            return "zh"
        case "ja":
            return "ja-mecab" if find_spec("MeCab") and find_spec("ipadic") else "char"
        case "th":
            return "char"
        case _:
            return "13a"


def pad_references(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """Reference streams as sacreBLEU wants them: stream r holds every utterance's r-th reference or None."""
    if any(not refs for refs in references):
        raise ValueError("every utterance needs at least one reference")
    return [list(stream) for stream in zip_longest(*references)]


def report_quality(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, lang: str
) -> QualityReport:
    """BLEU and chrF of a corpus; the tokenizer follows the target language."""
    streams = pad_references(references)
    bleu: Any = BLEU(tokenize=bleu_tokenizer(lang), force=True)
    chrf: Any = CHRF()
    bleu_score = bleu.corpus_score(list(hypotheses), streams).score
    chrf_score = chrf.corpus_score(list(hypotheses), streams).score
    return QualityReport(
        bleu=float(bleu_score),
        chrf=float(chrf_score),
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )


def report_edit_rate(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, lang: str
) -> EditRate:
    """TER (Snover et al. 2006) of a corpus; Chinese and Japanese by character. An empty hypothesis costs all.

    Apart from `report_quality`, because its search for shifts takes many times longer. Raises ValueError for
    Thai, whose words sacreBLEU's TER cannot find.
    """
    if base_language(lang) == "th":
        raise ValueError("TER counts words, and sacreBLEU finds none in Thai: report chrF")
    by_character = base_language(lang) in _CUT_BY_TER
    ter: Any = TER(normalized=by_character, asian_support=by_character)
    score = ter.corpus_score(list(hypotheses), pad_references(references)).score
    return EditRate(ter=float(score), signature=str(ter.get_signature()))


def bleu_statistics(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, lang: str
) -> NDArray[np.float64]:
    """One row of sufficient statistics per utterance, shape (utterances, 10); rows of a corpus add up."""
    metric: Any = BLEU(tokenize=bleu_tokenizer(lang), effective_order=True, force=True)
    stats = np.zeros((len(hypotheses), BLEU_STATS))
    for row, (hypothesis, refs) in enumerate(zip(hypotheses, references, strict=True)):
        score = metric.sentence_score(hypothesis, list(refs))
        stats[row] = [score.sys_len, score.ref_len, *score.counts, *score.totals]
    return stats


def bleu_from_statistics(stats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corpus BLEU of summed statistics, shape (..., 10) to (...); smoothed as sacreBLEU does."""
    hyp_len, ref_len = stats[..., 0], stats[..., 1]
    matches = stats[..., 2 : 2 + BLEU_ORDER]
    totals = stats[..., 2 + BLEU_ORDER :]
    # The k-th order without a match counts as 1 / 2^k of a match.
    missed = np.cumsum(matches == 0, axis=-1)
    smoothed = np.where(matches == 0, 0.5**missed, matches)
    precision = smoothed / np.maximum(totals, 1)
    brevity = np.minimum(0.0, 1 - ref_len / np.maximum(hyp_len, 1))
    score = 100 * np.exp(brevity + np.log(precision).mean(axis=-1))
    scored = matches.any(axis=-1) & totals.all(axis=-1)
    return np.asarray(np.where(scored, score, 0.0), dtype=np.float64)
