"""Curves of invented systems whose quality and latency are known by construction."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evaluate.curves import Hypothesis, ScoredPoint, score_hypotheses
from evaluate.session import SpokenUtterance
from tests.evaluate.scripted import spoken

WORDS = 8
SOURCE_MS = 4000.0
VOCABULARY = [f"w{n}" for n in range(500)]


def invent_utterances(n: int) -> list[SpokenUtterance]:
    """Utterances of four seconds and eight rare words each."""
    dice = random.Random(n)
    return [spoken(f"u{i}", SOURCE_MS, " ".join(dice.choices(VOCABULARY, k=WORDS))) for i in range(n)]


def invent_point(
    utterances: Sequence[SpokenUtterance], *, laal_ms: float, word_accuracy: float, seed: int, chunk_ms: int
) -> ScoredPoint:
    """A system whose words are right with a probability and whose every word lags by `laal_ms`."""
    dice = random.Random(seed)
    ideal_ms = [i * SOURCE_MS / WORDS for i in range(WORDS)]
    hypotheses = []
    for utterance in utterances:
        words = [w if dice.random() < word_accuracy else "falsch" for w in utterance.references[0].split()]
        delays = tuple(min(ideal + laal_ms, SOURCE_MS - 1) for ideal in ideal_ms)
        hypotheses.append(Hypothesis(text=" ".join(words), delays_ms=delays))
    return score_hypotheses(hypotheses, utterances, tgt_lang="de", unit="word", chunk_ms=chunk_ms)


def invent_curve(
    utterances: Sequence[SpokenUtterance], points: Sequence[tuple[float, float]], *, seed: int
) -> list[ScoredPoint]:
    """A curve of (LAAL, word accuracy) points."""
    return [
        invent_point(utterances, laal_ms=laal, word_accuracy=accuracy, seed=seed + i, chunk_ms=320 * (i + 1))
        for i, (laal, accuracy) in enumerate(points)
    ]
