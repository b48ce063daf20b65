"""What a split holds and what is wrong with it: counts, hours, lengths, problems by reason. One pass, little memory.

Every line's metadata is read; audio headers only of a sample that the ids decide, so that it is the same in every run.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from augment.audio import AudioError
from augment.corpora.base import Corpus
from augment.random import uniform01
from augment.schema import Rejection, Utterance

Progress = Callable[[int, int], None]
SHORTEST_S, LONGEST_S, LARGEST_RATIO = 0.1, 30.0, 4.0
_EXAMPLES = 3
_STEP = 512
_PERCENTILES = (5, 25, 50, 75, 95)
_BINS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a quantity is spread: count, extremes, percentiles, and a histogram over equal bins up to the 99th."""

    n: int
    mean: float
    min: float
    max: float
    percentiles: dict[str, float]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A reason, how many have it, of how many that were looked at, and the first few of them in words.

    `kind` is `rejected` (yields no utterance), `audio` (found in a sampled header; would be rejected when used) or
    `suspicious` (kept).
    """

    kind: str
    reason: str
    count: int
    of: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One split. `lines = utterances + rejected`; `hours` are measured where `hours_estimated` is false.

    `length_ratio` is characters of the translation over characters of the transcript, where there is one.
    """

    split: str
    lines: int
    utterances: int
    rejected: int
    hours: float | None
    hours_estimated: bool
    headers_read: int
    languages: dict[str, int]
    licenses: dict[str, int]
    speakers: int | None
    without_speaker: int
    without_transcript: int
    duration_s: Spread | None
    length_ratio: Spread | None
    problems: tuple[Problem, ...]


def survey(corpus: Corpus, *, headers: int, progress: Progress | None = None) -> Survey:
    """Read all metadata of a split, and the headers of at most `headers` of its audio files."""
    tally = _Tally(headers)
    for seen, entry in enumerate(corpus, start=1):
        if isinstance(entry, Rejection):
            tally.reject(entry)
        else:
            tally.add(entry)
        if progress is not None and seen % _STEP == 0:
            progress(seen, 0)
    chosen = tally.chosen()
    for done, utterance in enumerate(chosen, start=1):
        tally.hear(corpus, utterance)
        if progress is not None and (done % _STEP == 0 or done == len(chosen)):
            progress(done, len(chosen))
    return tally.result(corpus.split)


@dataclass(slots=True)
class _Found:
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)


class _Tally:
    """Sums over one pass: 8 bytes for a duration, a ratio and a speaker, and the sampled utterances."""

    def __init__(self, headers: int) -> None:
        self._headers = headers
        self._sample: list[tuple[float, str, Utterance]] = []
        self._utterances = 0
        self._languages: Counter[str] = Counter()
        self._licenses: Counter[str] = Counter()
        self._speakers: set[int] = set()
        self._without_speaker = self._without_transcript = self._heard = 0
        self._told_s, self._heard_s, self._ratios = array("d"), array("d"), array("d")
        self._untold = 0
        self._found: dict[tuple[str, str], _Found] = {}

    def reject(self, entry: Rejection) -> None:
        self._note("rejected", entry.reason, f"{entry.where}: {entry.detail}")

    def add(self, entry: Utterance) -> None:
        self._utterances += 1
        self._languages[f"{entry.src_lang}-{entry.tgt_lang}"] += 1
        self._licenses[entry.license] += 1
        if entry.speaker is None:
            self._without_speaker += 1
        else:
            self._speakers.add(int.from_bytes(blake2b(entry.speaker.encode(), digest_size=8).digest(), "big"))
        if entry.audio.duration_s is None:
            self._untold += 1
        else:
            self._told_s.append(entry.audio.duration_s)
            self._check_duration(entry, entry.audio.duration_s)
        self._check_texts(entry)
        self._draw(entry)

    def chosen(self) -> list[Utterance]:
        """The sampled utterances, those of one file beside each other."""
        return sorted((u for _, _, u in self._sample), key=lambda u: (u.audio.path, u.audio.offset_s))

    def hear(self, corpus: Corpus, utterance: Utterance) -> None:
        self._heard += 1
        try:
            seconds = corpus.audio_seconds(utterance)
        except AudioError as error:
            self._note("audio", error.reason, f"{utterance.id}: {error.detail}")
            return
        if utterance.audio.duration_s is None:
            self._heard_s.append(seconds)
            self._check_duration(utterance, seconds)

    def result(self, split: str) -> Survey:
        rejected = sum(found.count for (kind, _), found in self._found.items() if kind == "rejected")
        known = np.concatenate([np.asarray(self._told_s), np.asarray(self._heard_s)])
        return Survey(
            split=split,
            lines=self._utterances + rejected,
            utterances=self._utterances,
            rejected=rejected,
            hours=self._hours(),
            hours_estimated=self._untold > len(self._heard_s),
            headers_read=self._heard,
            languages=dict(self._languages.most_common()),
            licenses=dict(self._licenses.most_common()),
            speakers=len(self._speakers) or None,
            without_speaker=self._without_speaker,
            without_transcript=self._without_transcript,
            duration_s=_spread(known),
            length_ratio=_spread(np.asarray(self._ratios)),
            problems=tuple(self._problems(rejected)),
        )

    def _hours(self) -> float | None:
        """What metadata tells, plus the mean of the headers that were read for all others; None when none is known."""
        if self._untold and not len(self._heard_s):
            return None
        unheard_s = self._untold * float(np.mean(self._heard_s)) if self._untold else 0.0
        return (sum(self._told_s) + unheard_s) / 3600

    def _problems(self, rejected: int) -> list[Problem]:
        of = {"rejected": self._utterances + rejected, "audio": self._heard, "suspicious": self._utterances}
        ordered = sorted(
            self._found.items(), key=lambda item: (list(of).index(item[0][0]), -item[1].count, item[0])
        )
        return [
            Problem(kind=kind, reason=reason, count=f.count, of=of[kind], examples=tuple(f.examples))
            for (kind, reason), f in ordered
        ]

    def _check_duration(self, entry: Utterance, seconds: float) -> None:
        if not SHORTEST_S <= seconds <= LONGEST_S:
            reason = "longer_than_30_s" if seconds > LONGEST_S else "shorter_than_0.1_s"
            self._note("suspicious", reason, f"{entry.id}: {seconds:.2f} s")

    def _check_texts(self, entry: Utterance) -> None:
        if entry.src_text is None:
            self._without_transcript += 1
            return
        ratio = len(entry.tgt_text) / len(entry.src_text)
        self._ratios.append(ratio)
        if ratio > LARGEST_RATIO or ratio < 1 / LARGEST_RATIO:
            self._note(
                "suspicious",
                "length_ratio",
                f"{entry.id}: {ratio:.2f} characters for one: {entry.tgt_text:.60}",
            )
        if entry.src_text == entry.tgt_text:
            self._note("suspicious", "untranslated", f"{entry.id}: {entry.tgt_text:.60}")

    def _draw(self, entry: Utterance) -> None:
        """Keep the utterances with the smallest numbers, which their ids decide."""
        if self._headers:
            item = (-uniform01(0, "inspect", entry.corpus, entry.id), entry.id, entry)
            if len(self._sample) < self._headers:
                heapq.heappush(self._sample, item)
            else:
                heapq.heappushpop(self._sample, item)

    def _note(self, kind: str, reason: str, example: str) -> None:
        self._found.setdefault((kind, reason), _Found()).add(example)


def _spread(values: Any) -> Spread | None:
    if not len(values):
        return None
    top = float(np.percentile(values, 99))
    counts, edges = np.histogram(np.minimum(values, top), bins=_BINS, range=(0.0, top or 1.0))
    points = np.percentile(values, _PERCENTILES)
    return Spread(
        n=len(values),
        mean=float(np.mean(values)),
        min=float(np.min(values)),
        max=float(np.max(values)),
        percentiles={f"p{p}": float(value) for p, value in zip(_PERCENTILES, points, strict=True)},
        edges=tuple(map(float, edges)),
        counts=tuple(map(int, counts)),
    )
