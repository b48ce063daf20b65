"""One utterance being streamed: what it has heard, what it has said, what it asks next.

A session knows no engine: it hands out one request at a time and takes the answer. So the same rules serve
the batched simulation and the live stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.schema import SAMPLE_RATE_HZ
from evaluate.config import EvaluateConfig
from evaluate.trace import Step, StreamTrace
from evaluate.units import align_units, choose_unit
from lalm.engine import AudioClip, Failure, GenerateRequest, Generation
from lalm.prompts import Prompt
from lalm.units import cut_to_whole_units

SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000


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
    """The append-only state of one utterance; `request` and `accept` alternate until it is no longer open."""

    def __init__(
        self,
        utterance: SpokenUtterance,
        *,
        prompt: Prompt,
        tokenizer: Any,
        chunk_ms: int | None,
        config: EvaluateConfig,
        tgt_lang: str,
    ) -> None:
        self.utterance = utterance
        self.steps: list[Step] = []
        self.failure: str | None = None
        self._prompt = prompt
        self._tokenizer = tokenizer
        self._chunk_ms = chunk_ms
        self._config = config
        self._tgt_lang = tgt_lang
        self._boundaries = step_samples(len(utterance.waveform), chunk_ms)
        self._emitted: list[int] = []

    @property
    def num_steps(self) -> int:
        """Steps this utterance takes when nothing fails."""
        return len(self._boundaries)

    @property
    def is_open(self) -> bool:
        """Whether there is audio left to hear."""
        return self.failure is None and len(self.steps) < self.num_steps

    def fail(self, reason: str, detail: str) -> None:
        """Close the session: the utterance counts as empty and is listed with its reason."""
        self.failure = f"{reason}: {detail}"

    def request(self) -> GenerateRequest:
        """Continue the emitted token ids, given all audio so far."""
        heard = self._boundaries[len(self.steps)]
        return GenerateRequest(
            request_id=self.utterance.id,
            prompt_ids=self._prompt.ids,
            audio=AudioClip(
                key=f"{self.utterance.sha}:{heard}", waveform=self.utterance.waveform[:heard]
            ),  # (heard,)
            forced_ids=tuple(self._emitted),
            max_new_tokens=self._token_cap,
        )

    @property
    def _token_cap(self) -> int:
        """Nothing is heard after the last step, so it may say all that is left."""
        is_last = len(self.steps) == self.num_steps - 1
        return self._config.max_new_tokens_offline if is_last else self._config.max_new_tokens_per_step

    def accept(self, result: Generation | Failure, *, compute_s: float | None = None) -> None:
        """Append what the step said; a capped step keeps only its whole units."""
        if isinstance(result, Failure):
            self.fail(result.reason, result.detail)
            return
        capped = result.finish == "length"
        new_ids = self._whole_units(result.token_ids) if capped else result.token_ids
        heard_ms = self._boundaries[len(self.steps)] / SAMPLES_PER_MS
        self._emitted.extend(new_ids)
        self.steps.append(Step(audio_ms=heard_ms, token_ids=new_ids, capped=capped, compute_s=compute_s))

    def _whole_units(self, new_ids: tuple[int, ...]) -> tuple[int, ...]:
        """The new tokens before a last unit that may be unfinished; the last token shows where it begins."""
        if not new_ids:
            return ()
        said = (*self._emitted, *new_ids[:-1])
        kept, _ = cut_to_whole_units(self._tokenizer, said, self._tgt_lang, new_ids[-1])
        return tuple(kept[len(self._emitted) :])

    def trace(self) -> StreamTrace:
        """The record of this session; a failed one keeps its steps and says nothing."""
        unit = choose_unit(self._config.unit, self._tgt_lang)
        text, emissions = ("", ()) if self.failure else align_units(self._tokenizer, self.steps, unit)
        return StreamTrace(
            id=self.utterance.id,
            chunk_ms=self._chunk_ms,
            source_ms=self.utterance.source_ms,
            text=text,
            emissions=emissions,
            steps=tuple(self.steps),
            failure=self.failure,
        )
