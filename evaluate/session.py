"""One utterance being streamed: what it has heard, what it has said, what it asks next.

A session knows no engine: it hands out one request at a time and takes the answer. So the same rules serve
the batched simulation and the live stream. When to write is its policy's to say; that words and characters
are written whole is the session's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.schema import SAMPLE_RATE_HZ
from evaluate.config import EvaluateConfig
from evaluate.long_form import SlidingWindow, align_in_parts, join_parts
from evaluate.policies import Hypothesis, Policy, Seen, SimulSA
from evaluate.trace import Emission, Step, StreamTrace
from evaluate.units import Unit, align_pieces, align_units, choose_unit, unit_spans
from lalm.engine import AudioClip, Failure, GenerateRequest, Generation, ScoreRequest
from lalm.prompts import Prompt, decode

SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000
SIMULSA = SimulSA()
"""The policy that is used where none is named."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpokenUtterance:
    """An utterance ready to stream: 16 kHz mono float32 samples, their digest, and its references."""

    id: str
    waveform: NDArray[np.float32]
    sha: str
    references: tuple[str, ...]
    src_text: str | None = None

    @property
    def source_ms(self) -> float:
        """Duration |X| of the audio."""
        return len(self.waveform) / SAMPLES_PER_MS


def step_samples(num_samples: int, chunk_ms: int | None) -> tuple[int, ...]:
    """How many samples each step hears: c, 2c, … below all of them, then exactly all."""
    if num_samples == 0:
        return ()
    if chunk_ms is None:
        return (num_samples,)
    chunk = chunk_ms * SAMPLES_PER_MS
    return (*range(chunk, num_samples, chunk), num_samples)


class StreamSession:
    """The state of one utterance; while it is open, `wait` where `reads`, else `request` and `accept`.

    Only a policy that revises ever takes back what was written.
    """

    def __init__(
        self,
        utterance: SpokenUtterance,
        *,
        prompt: Prompt,
        tokenizer: Any,
        chunk_ms: int | None,
        config: EvaluateConfig,
        tgt_lang: str,
        policy: Policy = SIMULSA,
    ) -> None:
        self.utterance = utterance
        self.policy = policy
        self.steps: list[Step] = []
        self.failure: str | None = None
        self._prompt = prompt
        self._tokenizer = tokenizer
        self._chunk_ms = chunk_ms
        self._config = config
        self._tgt_lang = tgt_lang
        self._unit = choose_unit(config.unit, tgt_lang)
        self._boundaries = step_samples(len(utterance.waveform), chunk_ms)
        self._next = 0
        self._emitted: list[int] = []
        self._shown: list[str] = []
        self._hypotheses: list[tuple[int, ...]] = []
        long_form = None if chunk_ms is None or policy.revises else config.long_form
        self._window = SlidingWindow(long_form, tokenizer, tgt_lang) if long_form else None
        self._sentence_step = 0
        self._make_room()

    @property
    def most_heard_ms(self) -> float:
        """The longest audio that a step gives to the model."""
        whole_ms = self.utterance.source_ms
        return min(whole_ms, self._window.config.window_ms) if self._window else whole_ms

    @property
    def num_steps(self) -> int:
        """Steps this utterance takes when nothing fails and none is skipped."""
        return len(self._boundaries)

    @property
    def steps_done(self) -> int:
        """How many of `num_steps` need nothing more."""
        return self.num_steps if self.failure else self._next

    @property
    def is_open(self) -> bool:
        """Whether there is audio left to hear."""
        return self.failure is None and self._next < self.num_steps

    @property
    def heard_ms(self) -> float:
        """How far into the audio the next step hears."""
        return self._boundaries[self._next] / SAMPLES_PER_MS

    @property
    def reads(self) -> bool:
        """Whether the next step passes without the model: nobody has spoken, or before the end the policy says so."""
        if not self.is_open or self._is_silent:
            return self.is_open
        return not self._is_final and (self._has_just_begun or self.policy.reads(self._seen()))

    @property
    def attends(self) -> tuple[int, ...] | None:
        """The layers by whose attention the next answer is judged, None where it is not; nothing is at the end."""
        return None if self._is_final else self.policy.attends

    @property
    def _is_last(self) -> bool:
        return self._next == self.num_steps - 1

    @property
    def _is_final(self) -> bool:
        """Whether what the next step hears ends the audio or a sentence: then all that is left is said."""
        return self._sentence_end_ms is not None or self._is_last

    @property
    def _is_silent(self) -> bool:
        return self._window is not None and self._window.is_silent

    @property
    def _has_just_begun(self) -> bool:
        """Whether less than a step of audio follows a pause: a model guesses there, and no first step hears less."""
        return self._chunk_ms is not None and self._end_ms - self._start_ms < self._chunk_ms

    @property
    def _sentence_end_ms(self) -> float | None:
        return self._window.sentence_end_ms if self._window else None

    def _seen(self) -> Seen:
        return Seen(
            step=len(self.steps) - self._sentence_step + 1,
            heard_ms=self._end_ms - self._start_ms,
            emitted=self._prefix,
            hypotheses=self._hypotheses,
        )

    def fail(self, reason: str, detail: str) -> None:
        """Close the session: the utterance counts as empty and is listed with its reason."""
        self.failure = f"{reason}: {detail}"

    def skip_to(self, heard_ms: float) -> None:
        """Let the next step hear all whole steps of audio up to `heard_ms`, as one that comes late does.

        No further than to the end of the window: that moves on in single steps only, so no audio leaves it unheard.
        """
        reach_ms = min(heard_ms, self._start_ms + self._window.config.window_ms) if self._window else heard_ms
        while not self._is_last and self._boundaries[self._next + 1] <= reach_ms * SAMPLES_PER_MS:
            self._next += 1
        self._make_room()

    def wait(self, *, compute_s: float | None = None) -> None:
        """Hear one more step of audio without asking the model."""
        self._close(Step(audio_ms=self.heard_ms, token_ids=(), compute_s=compute_s))

    def request(self) -> GenerateRequest:
        """Continue the emitted token ids, given all audio so far; a policy that revises begins anew."""
        return GenerateRequest(
            request_id=self.utterance.id,
            prompt_ids=self._prompt.ids,
            audio=self._audio(),
            forced_ids=self._prefix,
            max_new_tokens=self._token_cap,
        )

    def _audio(self) -> AudioClip:
        begin, end = (round(ms * SAMPLES_PER_MS) for ms in (self._start_ms, self._end_ms))
        span = f"{begin}-{end}" if begin else f"{end}"
        return AudioClip(key=f"{self.utterance.sha}:{span}", waveform=self.utterance.waveform[begin:end])

    @property
    def _start_ms(self) -> float:
        return self._window.start_ms if self._window else 0.0

    @property
    def _end_ms(self) -> float:
        """The end of the audio that the next step gives to the model: all it heard, or a sentence of it."""
        return self.heard_ms if self._sentence_end_ms is None else self._sentence_end_ms

    @property
    def _prefix(self) -> tuple[int, ...]:
        return tuple(self._emitted[self._window.first_token :] if self._window else self._emitted)

    @property
    def _token_cap(self) -> int:
        """Nothing is heard after a final step, so it may say all that is left; so may one that says all anew."""
        says_all = self._is_final or self.policy.revises
        return self._config.max_new_tokens_offline if says_all else self._config.max_new_tokens_per_step

    def attention_request(self, said: Generation) -> ScoreRequest:
        """Ask where the model listened as it chose each token of the prefix and of what it said now."""
        asked = self.request()
        return ScoreRequest(
            request_id=asked.request_id,
            prompt_ids=asked.prompt_ids,
            audio=asked.audio,
            continuation_ids=(*asked.forced_ids, *said.token_ids),
        )

    def accept(
        self,
        result: Generation | Failure,
        *,
        attention: NDArray[np.float32] | None = None,
        compute_s: float | None = None,
    ) -> None:
        """Write what the policy takes of what the model said, and of that only whole units."""
        if isinstance(result, Failure):
            self.fail(result.reason, result.detail)
            return
        said = Hypothesis(
            prefix=self._prefix,
            ids=result.token_ids,
            finished=result.finish == "stop",
            tokenizer=self._tokenizer,
            tgt_lang=self._tgt_lang,
            attention=attention,
        )
        asked = said.ids and not self._is_final
        limit = self.policy.writes(self._seen(), said) if asked else len(said.ids)
        written = said.ids[: said.whole(limit)]
        self._hypotheses.append((*said.prefix, *said.ids))
        step = Step(audio_ms=self.heard_ms, token_ids=written, capped=not said.finished, compute_s=compute_s)
        self._close(self._replacing(step) if self.policy.revises else step)

    def _replacing(self, step: Step) -> Step:
        """The step as the pieces that it takes back and writes instead."""
        stood = self._shown
        self._shown = split_pieces(decode(self._tokenizer, step.token_ids), self._unit)
        kept = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(stood, self._shown, strict=False))
        )
        return replace(step, token_ids=(), pieces=tuple(self._shown[kept:]), erased=len(stood) - kept)

    def _close(self, step: Step) -> None:
        self._emitted.extend(step.token_ids)
        self.steps.append(step)
        if self._window and self._window.sentence_end_ms is not None:
            self._window.restart(self._emitted)  # the audio behind the pause is the next step's, now
            self._sentence_step = len(self.steps)
            self._hypotheses.clear()
        else:
            self._next += 1
        self._make_room()

    def _make_room(self) -> None:
        """Move the window on where it is full; hypotheses that began elsewhere compare with nothing."""
        if self._window and self.is_open:
            self._window.listen(self.utterance.waveform, self.heard_ms)
            if self._window.move(self.heard_ms, self.steps, self._emitted):
                self._hypotheses.clear()
                if self._window.is_silent:  # of the audio that did not fit nothing is known yet
                    self._window.listen(self.utterance.waveform, self.heard_ms)

    @property
    def text(self) -> str:
        """All that was written so far; what a new window begins with stands apart."""
        first, *others = [
            decode(self._tokenizer, self._emitted[begin:end])
            for begin, end in pairwise([0, *(self._window.cuts if self._window else ()), len(self._emitted)])
        ]
        return join_parts([first, *(text.lstrip() for text in others)], self._unit)

    def trace(self) -> StreamTrace:
        """The record of this session; a failed one keeps its steps and says nothing."""
        text, emissions = ("", ()) if self.failure else self._aligned()
        return StreamTrace(
            id=self.utterance.id,
            chunk_ms=self._chunk_ms,
            source_ms=self.utterance.source_ms,
            text=text,
            emissions=emissions,
            steps=tuple(self.steps),
            failure=self.failure,
        )

    def _aligned(self) -> tuple[str, tuple[Emission, ...]]:
        if self.policy.revises:
            return align_pieces(self.steps, self._unit)
        if self._window:
            return align_in_parts(self._tokenizer, self.steps, self._window.cuts, self._unit)
        return align_units(self._tokenizer, self.steps, self._unit)


def split_pieces(text: str, unit: Unit) -> list[str]:
    """A text as its units, each with the white space before it; joined, they are the text but for its last space."""
    ends = [end for _, end in unit_spans(text, unit)]
    return [text[begin:end] for begin, end in pairwise([0, *ends])]
