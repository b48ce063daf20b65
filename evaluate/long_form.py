"""Recordings longer than the model's window: audio and text leave at the old end as new audio comes in.

Knows no engine. What is kept does not grow with the recording: audio of one window, and the text written in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evaluate.trace import Emission, Step
from evaluate.units import Unit, align_units


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
    """

    def __init__(self, config: LongFormConfig, tokenizer: Any, tgt_lang: str) -> None:
        self.start_ms = 0.0
        self.first_token = 0
        self.cuts: list[int] = []
        self.config = config
        self._tokenizer = tokenizer
        self._tgt_lang = tgt_lang

    def move(self, heard_ms: float, steps: Sequence[Step], emitted: Sequence[int]) -> bool:
        """Make room for audio up to `heard_ms`; whether the window moved."""
        if heard_ms - self.start_ms <= self.config.window_ms:
            return False
        self.start_ms = heard_ms - self.config.keep_ms
        before = sum(len(step.token_ids) for step in steps if step.audio_ms <= self.start_ms)
        begins = self._unit_begins(emitted, before)
        self.cuts.append(begins[0])
        self.first_token = begins[-1]
        return True

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
    """`align_units` of the tokens between successive cuts, each part by itself, so that none is long."""
    total = sum(len(step.token_ids) for step in steps)
    parts = [
        align_units(tokenizer, _steps_between(steps, begin, end), unit)
        for begin, end in pairwise([0, *cuts, total])
    ]
    joiner = " " if unit == "word" else ""
    text = joiner.join(text for text, _ in parts if text)
    return text, tuple(emission for _, emissions in parts for emission in emissions)


def _steps_between(steps: Sequence[Step], begin: int, end: int) -> list[Step]:
    """The steps that wrote tokens `begin` to `end`, with those tokens alone."""
    ends = accumulate(len(step.token_ids) for step in steps)
    within = []
    for step, last in zip(steps, ends, strict=True):
        first = last - len(step.token_ids)
        ids = step.token_ids[max(begin - first, 0) : max(end - first, 0)]
        if ids:
            within.append(replace(step, token_ids=ids))
    return within
