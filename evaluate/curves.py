"""The measured points of each system's curve: quality against latency, with what a bootstrap needs.

A point is one system at one chunk size on the whole test set. Points of different systems are paired: the
same utterances in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate.latency import length_adaptive_lagging, report_latency
from evaluate.quality import bleu_statistics, report_quality
from evaluate.session import SpokenUtterance
from evaluate.trace import StreamTrace
from evaluate.units import Unit, split_units

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a system wrote for one utterance, and the delay of each of its units."""

    text: str
    delays_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """Scores of one system at one chunk size (None: whole); latency is nan if nothing was written."""

    chunk_ms: int | None
    bleu: float
    chrf: float
    laal_ms: float
    al_ms: float
    laal_penalised_ms: float
    n_utterances: int
    n_empty: int
    n_failed: int
    cap_hits: int
    bleu_signature: str
    chrf_signature: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; nan becomes null."""
        return {key: _finite(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CurvePoint:
        """The point that `to_json` wrote."""
        missing = {key: math.nan for key, number in value.items() if number is None and key != "chunk_ms"}
        return cls(**{**value, **missing})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredPoint:
    """A point and its evidence per utterance, in test-set order.

    `bleu_stats` has shape (utterances, 10); `laal_ms` has shape (utterances,), nan where nothing was written.
    """

    point: CurvePoint
    bleu_stats: Floats
    laal_ms: Floats


def score_traces(
    traces: Sequence[StreamTrace], utterances: Sequence[SpokenUtterance], *, tgt_lang: str, unit: Unit
) -> ScoredPoint:
    """Score the traces of one system at one chunk size; a failed utterance counts as empty."""
    if [trace.id for trace in traces] != [utterance.id for utterance in utterances]:
        raise ValueError("traces and utterances must be the same, in the same order")
    hypotheses = [Hypothesis(text=trace.text, delays_ms=trace.delays_ms) for trace in traces]
    return score_hypotheses(
        hypotheses,
        utterances,
        tgt_lang=tgt_lang,
        unit=unit,
        chunk_ms=traces[0].chunk_ms,
        n_failed=sum(trace.failure is not None for trace in traces),
        cap_hits=sum(trace.cap_hits for trace in traces),
    )


def score_hypotheses(
    hypotheses: Sequence[Hypothesis],
    utterances: Sequence[SpokenUtterance],
    *,
    tgt_lang: str,
    unit: Unit,
    chunk_ms: int | None = None,
    n_failed: int = 0,
    cap_hits: int = 0,
) -> ScoredPoint:
    """Score any timed output, such as a known alignment; lengths follow the first reference."""
    texts = [hypothesis.text for hypothesis in hypotheses]
    references = [utterance.references for utterance in utterances]
    delays = [hypothesis.delays_ms for hypothesis in hypotheses]
    source_ms = [utterance.source_ms for utterance in utterances]
    lengths = [len(split_units(refs[0], unit)) for refs in references]
    quality = report_quality(texts, references, lang=tgt_lang)
    latency = report_latency(delays, source_ms, lengths)
    point = CurvePoint(
        chunk_ms=chunk_ms,
        bleu=quality.bleu,
        chrf=quality.chrf,
        laal_ms=latency.laal_ms,
        al_ms=latency.al_ms,
        laal_penalised_ms=latency.laal_penalised_ms,
        n_utterances=len(utterances),
        n_empty=latency.n_empty,
        n_failed=n_failed,
        cap_hits=cap_hits,
        bleu_signature=quality.bleu_signature,
        chrf_signature=quality.chrf_signature,
    )
    return ScoredPoint(
        point=point,
        bleu_stats=bleu_statistics(texts, references, lang=tgt_lang),
        laal_ms=np.array(list(map(length_adaptive_lagging, delays, source_ms, lengths))),
    )


def bleu_at(laal_ms: Floats, bleu: Floats, grid: Floats) -> Floats:
    """BLEU at each latency of the grid by linear interpolation between neighbouring points; nan outside them.

    The points, shapes (points,), are sorted by LAAL, whatever their chunk size. A curve that falls
    somewhere is interpolated as it was measured: nothing is smoothed and no envelope taken. Points at one
    LAAL count as their mean; points without latency are left out.
    """
    known = np.isfinite(laal_ms)
    if not known.any():
        return np.full(grid.shape, np.nan)
    xs, inverse = np.unique(laal_ms[known], return_inverse=True)
    ys = np.bincount(inverse, weights=bleu[known]) / np.bincount(inverse)
    return np.interp(grid, xs, ys, left=np.nan, right=np.nan)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
