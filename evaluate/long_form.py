"""Recordings longer than the model's window: audio and text leave at the old end as new audio comes in.

Knows no engine. What is kept does not grow with the recording: audio of one window, and the text written in it. A model
that was trained on single sentences ends its turn after one; for it the window begins anew behind every pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from augment.schema import SAMPLE_RATE_HZ
from evaluate.pauses import FRAME_MS, first_pause, first_sound, frame_levels, longest_pause, loudness
from evaluate.trace import Emission, Step
from evaluate.units import Unit, align_units

SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000


class LongFormConfig(BaseModel):
    """A sliding window over a recording; it moves on in jumps, so that most steps share their beginning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_ms: int = Field(
        default=24_000,
        ge=1000,
        description="Most audio the model hears at once, in ms; at most its own window.",
    )
    keep_ms: int = Field(
        default=12_000,
        ge=500,
        description="Audio that stays when the window is full, in ms; at least one step.",
    )
    history_words: int = Field(
        default=10,
        ge=0,
        description="Words written before the window that stay in front of what is written in it.",
    )
    pause_ms: int | None = Field(
        default=None,
        ge=100,
        description="Silence that ends a sentence, in ms: all of it is written then, and the window begins anew behind "
        "it. null: the window only moves when it is full.",
    )

    @model_validator(mode="after")
    def _window_moves(self) -> Self:
        if self.keep_ms >= self.window_ms:
            raise ValueError(
                f"keep_ms={self.keep_ms} must be less than window_ms={self.window_ms}: a full window must move on"
            )
        return self


class SlidingWindow:
    """Where the audio and the text begin that the model is given; both only ever move on.

    `start_ms` is the beginning of the audio, `first_token` that of the prefix, always the beginning of a whole unit.
    `sentence_end_ms` is where the next step's audio ends when a pause comes first; `is_silent` says that it holds
    no speech at all.
    """

    def __init__(self, config: LongFormConfig, tokenizer: Any, tgt_lang: str) -> None:
        self.start_ms = 0.0
        self.first_token = 0
        self.cuts: list[int] = []
        self.config = config
        self.sentence_end_ms: float | None = None
        self.is_silent = False
        self._known_loudness = 0.0
        self._in_pause = False
        self._tokenizer = tokenizer
        self._tgt_lang = tgt_lang

    def move(self, heard_ms: float, steps: Sequence[Step], emitted: Sequence[int]) -> bool:
        """Make room for audio up to `heard_ms`; whether the window moved."""
        if self.sentence_end_ms is not None or heard_ms - self.start_ms <= self.config.window_ms:
            return False
        # what is quiet for a whole window may be a quieter speaker, so silence only lowers what counts as loud
        self._known_loudness = self._known_loudness / 2 if self.is_silent else 0.0
        self.start_ms = heard_ms - self.config.keep_ms
        before = sum(len(step.token_ids) for step in steps if step.audio_ms <= self.start_ms)
        begins = self._unit_begins(emitted, before)
        self.cuts.append(max([begins[0], *self.cuts[-1:]]))  # a history may begin before the last pause
        self.first_token = begins[-1]
        return True

    def listen(self, waveform: NDArray[np.float32], heard_ms: float) -> None:
        """Find out whether a sentence ended, or none began, in the audio up to `heard_ms`; `waveform` is all of it."""
        if self.config.pause_ms is None:
            return
        levels = frame_levels(self._heard(waveform, heard_ms))
        onset = first_sound(levels, self._known_loudness)
        self.is_silent = onset is None
        if onset is None:
            return
        levels = levels[self._leave_silence(onset) :]
        pause = first_pause(levels, self.config.pause_ms)
        if pause is None and heard_ms - self.start_ms > self.config.window_ms:
            pause = longest_pause(levels, self._margin_ms)
        if pause is not None:
            self.sentence_end_ms = self.start_ms + pause * FRAME_MS + self._margin_ms
            self._known_loudness = loudness(levels)

    def _heard(self, waveform: NDArray[np.float32], heard_ms: float) -> NDArray[np.float32]:
        end_ms = min(heard_ms, self.start_ms + self.config.window_ms)
        begin, end = (round(ms * SAMPLES_PER_MS) for ms in (self.start_ms, end_ms))
        return waveform[begin:end]

    def _leave_silence(self, onset: int) -> int:
        """Begin a margin before the first sound behind a pause; how many frames that leaves out."""
        frames = max(0, onset - self._margin_ms // FRAME_MS) if self._in_pause else 0
        self.start_ms += frames * FRAME_MS
        self._in_pause = False
        return frames

    @property
    def _margin_ms(self) -> int:
        """The silence that stays around a sentence."""
        return (self.config.pause_ms or 0) // 2

    def restart(self, emitted: Sequence[int]) -> None:
        """Begin anew in the pause behind a sentence, of which only the history stays in front."""
        assert self.sentence_end_ms is not None
        self.start_ms, self.sentence_end_ms, self._in_pause = self.sentence_end_ms, None, True
        begins = [len(emitted), *self._unit_begins(emitted, len(emitted))]
        self.cuts.append(len(emitted))
        self.first_token = begins[min(self.config.history_words, len(begins) - 1)]

    def _unit_begins(self, emitted: Sequence[int], before: int) -> list[int]:
        """Where units begin, from token `before` backwards, as many as stay of the history.

        A last word without a follower may still go on, so it stays, too.
        """
        from lalm.units import cut_to_whole_units  # loads torch, which reading a configuration does without

        begins: list[int] = []
        for place in range(min(before, len(emitted) - 1), self.first_token, -1):
            prefix = tuple(emitted[self.first_token : place])
            kept, _ = cut_to_whole_units(self._tokenizer, prefix, self._tgt_lang, emitted[place])
            if len(kept) == len(prefix):
                begins.append(place)
            if len(begins) > self.config.history_words:
                return begins
        return [*begins, self.first_token]


def align_in_parts(
    tokenizer: Any, steps: Sequence[Step], cuts: Sequence[int], unit: Unit
) -> tuple[str, tuple[Emission, ...]]:
    """`align_units` of the tokens between successive cuts, each part by itself, so that none is long.

    Where several steps heard equally much, as behind a pause, emissions name theirs.
    """
    total = sum(len(step.token_ids) for step in steps)
    ambiguous = any(left.audio_ms == right.audio_ms for left, right in pairwise(steps))
    texts: list[str] = []
    emissions: list[Emission] = []
    for begin, end in pairwise([0, *cuts, total]):
        within = _steps_between(steps, begin, end)
        text, part = align_units(tokenizer, list(within.values()), unit)
        texts.append(text)
        numbers = {step.audio_ms: number for number, step in within.items()} if ambiguous else {}
        emissions += [replace(emission, step=numbers.get(emission.delay_ms)) for emission in part]
    return join_parts(texts, unit), tuple(emissions)


def join_parts(texts: Sequence[str], unit: Unit) -> str:
    """The texts of successive parts as one, words apart."""
    return (" " if unit == "word" else "").join(text for text in texts if text)


def _steps_between(steps: Sequence[Step], begin: int, end: int) -> dict[int, Step]:
    """The steps that wrote tokens `begin` to `end`, by their number, with those tokens alone."""
    ends = accumulate(len(step.token_ids) for step in steps)
    within = {}
    for number, (step, last) in enumerate(zip(steps, ends, strict=True)):
        first = last - len(step.token_ids)
        ids = step.token_ids[max(begin - first, 0) : max(end - first, 0)]
        if ids:
            within[number] = replace(step, token_ids=ids)
    return within
