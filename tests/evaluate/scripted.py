"""A dictated engine and a tokenizer of single bytes, so that every token of a streaming test is written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from evaluate.session import SpokenUtterance
from lalm.engine import Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.prompts import Prompt

PROMPT = Prompt(ids=(1, 2, 3), stop_ids=(0,))

Table = Mapping[tuple[str, int], str | bytes | Failure]
"""(request id, ms of audio heard) to what the model says next; what is missing is silence."""


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer without merges: one token per UTF-8 byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


TOKENIZER = byte_tokenizer()
_ID_OF_BYTE = {
    byte: TOKENIZER.convert_tokens_to_ids(symbol)
    for byte, symbol in zip(
        [*range(33, 127), *range(161, 173), *range(174, 256)],
        [*map(chr, [*range(33, 127), *range(161, 173), *range(174, 256)])],
        strict=True,
    )
}
_ID_OF_BYTE |= {
    byte: TOKENIZER.convert_tokens_to_ids(chr(256 + i))
    for i, byte in enumerate(b for b in range(256) if b not in set(_ID_OF_BYTE))
}


def ids(text: str | bytes) -> tuple[int, ...]:
    """One token id per byte; bytes may be half a character."""
    raw = text.encode() if isinstance(text, str) else text
    return tuple(_ID_OF_BYTE[byte] for byte in raw)


def spoken(id_: str, duration_ms: float, *references: str) -> SpokenUtterance:
    """An utterance of counting samples, so that what a step heard can be checked."""
    waveform = np.arange(int(duration_ms * 16), dtype=np.float32)
    return SpokenUtterance(
        id=id_, waveform=waveform, sha=f"sha-{id_}", references=references or ("x",), src_text=f"src {id_}"
    )


class ScriptedEngine:
    """Says what its table dictates, cut at the cap, newest request first; remembers every call."""

    def __init__(
        self, table: Table, *, window_ms: int = 60_000, deaf_to: frozenset[str] = frozenset()
    ) -> None:
        self.calls: list[list[GenerateRequest]] = []
        self.adapters: list[Path | None] = []
        self._table = table
        self._window_ms = window_ms
        self._deaf_to = deaf_to

    @property
    def identity(self) -> dict[str, str]:
        return {"kind": "scripted"}

    @property
    def window_samples(self) -> int:
        return self._window_ms * 16

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Generation | Failure]]:
        call = list(requests)
        self.calls.append(call)
        self.adapters.append(adapter)
        for request in reversed(call):
            if request.request_id not in self._deaf_to:
                yield request.request_id, self._answer(request)

    def _answer(self, request: GenerateRequest) -> Generation | Failure:
        said = self._table.get((request.request_id, len(request.audio.waveform) // 16), "")
        if isinstance(said, Failure):
            return said
        tokens = self._tokens(request, said)
        if len(tokens) >= request.max_new_tokens:
            return Generation(token_ids=tokens[: request.max_new_tokens], finish="length", min_margin=1.0)
        return Generation(token_ids=tokens, finish="stop", min_margin=1.0)

    def _tokens(self, request: GenerateRequest, said: str | bytes) -> tuple[int, ...]:
        return ids(said)

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Score | Failure]]:
        raise NotImplementedError("evaluation never scores")

    def close(self) -> None:
        return None


class Translator(ScriptedEngine):
    """Its table holds whole translations of what was heard: it says what comes behind the forced prefix.

    Behind a prefix that it would not have said it goes on with as many words left out as the prefix has.
    """

    def _tokens(self, request: GenerateRequest, said: str | bytes) -> tuple[int, ...]:
        whole, prefix = ids(said), request.forced_ids
        if whole[: len(prefix)] == prefix:
            return whole[len(prefix) :]
        assert isinstance(said, str)
        count = len(TOKENIZER.decode(list(prefix)).split())
        return ids("".join(" " + word for word in said.split()[count:]))


class Stopwatch:
    """A clock that an engine call moves on by a fixed time, read before and after it."""

    def __init__(self, seconds_per_call: float) -> None:
        self._readings = 0
        self._seconds_per_call = seconds_per_call

    def __call__(self) -> float:
        self._readings += 1
        return (self._readings // 2) * self._seconds_per_call
