"""What was answered once is read back, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalm.engine import AudioClip, Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.recorded import RecordedEngine, request_key

SILENCE = np.zeros(1600, np.float32)


class MemoryJournal:
    """A journal whose records count as durable only after a flush."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, object]] = {}
        self.durable: dict[str, dict[str, object]] = {}

    def get(self, key: str) -> dict[str, object] | None:
        return self.records.get(key)

    def put(self, key: str, record: dict[str, object]) -> None:
        self.records[key] = record

    def flush(self) -> None:
        self.durable = dict(self.records)


class EchoEngine:
    """Says the prompt back; `bad` audio fails; stops the world at request number `dies_at`."""

    identity = {"kind": "echo"}  # noqa: RUF012
    window_samples = 16_000

    def __init__(self, dies_at: int | None = None) -> None:
        self.asked: list[str] = []
        self._dies_at = dies_at

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Generation | Failure]]:
        for request in requests:
            if len(self.asked) == self._dies_at:
                raise KeyboardInterrupt
            self.asked.append(request.request_id)
            yield request.request_id, self._say(request)

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Score | Failure]]:
        for request in requests:
            self.asked.append(request.request_id)
            logprobs = tuple(-1 / (3 + token) for token in request.continuation_ids)
            yield request.request_id, Score(logprobs=logprobs, ranks=(1,), rival_logprobs=(-0.1 - 0.2,))

    def close(self) -> None: ...

    def _say(self, request: GenerateRequest) -> Generation | Failure:
        if request.audio.key == "bad":
            return Failure(reason="audio_invalid", detail="bad")
        return Generation(token_ids=request.prompt_ids, finish="length", min_margin=0.1 + 0.2)


def ask(request_id: str, prompt: int = 1, key: str = "a") -> GenerateRequest:
    audio = AudioClip(key=key, waveform=SILENCE)
    return GenerateRequest(request_id=request_id, prompt_ids=(prompt,), audio=audio, max_new_tokens=4)


def test_a_second_run_asks_nothing_and_answers_the_same() -> None:
    journal, inner = MemoryJournal(), EchoEngine()
    requests = [ask("x", 1), ask("y", 2)]
    first = dict(RecordedEngine(inner, journal).generate(requests))
    again = RecordedEngine(inner, journal)
    assert dict(again.generate(requests)) == first
    assert inner.asked == ["x", "y"]
    assert (again.issued, again.replayed) == (0, 2)


def test_scores_are_restored_bit_for_bit() -> None:
    journal, inner = MemoryJournal(), EchoEngine()
    score = ScoreRequest(
        request_id="s", prompt_ids=(1,), audio=AudioClip(key="a", waveform=SILENCE), continuation_ids=(5,)
    )
    first = dict(RecordedEngine(inner, journal).score([score]))
    assert dict(RecordedEngine(inner, journal).score([score])) == first
    assert inner.asked == ["s"]


def test_only_the_missing_requests_are_issued() -> None:
    journal, inner = MemoryJournal(), EchoEngine()
    list(RecordedEngine(inner, journal).generate([ask("x", 1)]))
    engine = RecordedEngine(inner, journal)
    results = dict(engine.generate([ask("new", 2), ask("renamed", 1)]))
    assert inner.asked == ["x", "new"]
    assert results["renamed"] == Generation(token_ids=(1,), finish="length", min_margin=0.1 + 0.2)
    assert (engine.issued, engine.replayed) == (1, 1)


def test_identical_requests_of_one_call_are_asked_once_and_all_answered() -> None:
    inner = EchoEngine()
    results = dict(RecordedEngine(inner, MemoryJournal()).generate([ask("x"), ask("y"), ask("z", 2)]))
    assert set(results) == {"x", "y", "z"}
    assert results["x"] == results["y"]
    assert len(inner.asked) == 2


def test_failures_are_passed_on_and_asked_again() -> None:
    journal, inner = MemoryJournal(), EchoEngine()
    for _ in range(2):
        results = dict(RecordedEngine(inner, journal).generate([ask("x", key="bad")]))
        assert isinstance(results["x"], Failure)
    assert inner.asked == ["x", "x"]
    assert not journal.records


def test_a_killed_run_resumes_with_what_was_answered() -> None:
    journal = MemoryJournal()
    requests = [ask(f"r{n}", n) for n in range(5)]
    with pytest.raises(KeyboardInterrupt):
        list(RecordedEngine(EchoEngine(dies_at=3), journal).generate(requests))
    journal.records = journal.durable
    inner = EchoEngine()
    assert len(dict(RecordedEngine(inner, journal).generate(requests))) == 5
    assert inner.asked == ["r3", "r4"]


def test_a_consumer_that_stops_early_loses_nothing_it_saw() -> None:
    journal = MemoryJournal()
    results = RecordedEngine(EchoEngine(), journal).generate([ask("x", 1), ask("y", 2)])
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(journal.durable) == 1


def test_requests_are_taken_lazily() -> None:
    taken: list[str] = []

    def stream() -> Iterator[GenerateRequest]:
        for n in range(3):
            taken.append(f"r{n}")
            yield ask(f"r{n}", n)

    results = RecordedEngine(EchoEngine(), MemoryJournal()).generate(stream())
    assert next(results)[0] == "r0"
    assert taken == ["r0"]


CHANGES = [
    {"prompt_ids": (9,)},
    {"forced_ids": (9,)},
    {"max_new_tokens": 9},
    {"alone": True},
    {"audio": AudioClip(key="other", waveform=SILENCE)},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_everything_that_decides_an_answer_is_in_its_key(change: dict[str, object]) -> None:
    request = ask("x")
    changed = replace(request, **change)  # type: ignore[arg-type]
    assert request_key("generate", {}, None, changed) != request_key("generate", {}, None, request)


def test_engine_and_adapter_are_in_the_key() -> None:
    keys = {
        request_key("generate", identity, adapter, ask("x"))
        for identity in ({"model": "1"}, {"model": "2"})
        for adapter in (None, "digest")
    }
    assert len(keys) == 4


@given(st.lists(st.integers(0, 6), max_size=20), st.integers(0, 20))
def test_any_split_into_two_runs_asks_each_distinct_request_once(prompts: list[int], cut: int) -> None:
    journal, inner = MemoryJournal(), EchoEngine()
    requests = [ask(f"r{n}", prompt) for n, prompt in enumerate(prompts)]
    for part in (requests[:cut], requests):
        answered = dict(RecordedEngine(inner, journal).generate(part))
        assert {name: result.token_ids for name, result in answered.items()} == {  # type: ignore[union-attr]
            request.request_id: request.prompt_ids for request in part
        }
    assert len(inner.asked) == len(set(prompts))
