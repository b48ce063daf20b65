"""Targets of a run in which servers are killed and fail are those of an undisturbed one: none lost, none twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from augment.partial import PartialConfig, partial_targets
from augment.partial_config import Rule
from augment.schema import PartialTarget, Rejection, TruncatedUtterance
from lalm.engine import Answer, Engine, GenerateRequest, ScoreRequest
from lalm.engine_config import EngineConfig
from lalm.loading import LoadedModel
from lalm.prompts import Prompt
from lalm.transformers_engine import TransformersEngine
from lalm.vllm import server as server_module
from tests.support.examples import full_waveform, truncated
from tests.support.replica_server import DIE_ON, VERSION
from tests.support.vllm import ReplicaProcess, engine_over, open_engine, replicas

pytestmark = pytest.mark.slow
Result = PartialTarget | Rejection


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lalm.vllm.fleet.LONGEST_WAIT_S", 1.0)


class Disturbed:
    """An engine whose world changes when it has given so many answers."""

    def __init__(self, engine: Engine, events: dict[int, Callable[[], None]]) -> None:
        self._engine = engine
        self._events = events
        self._given = 0

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Any]]:
        return map(self._count, self._engine.generate(requests, adapter=adapter))

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Any]]:
        return map(self._count, self._engine.score(requests, adapter=adapter))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def _count(self, answer: tuple[str, Answer]) -> tuple[str, Answer]:
        self._given += 1
        self._events.pop(self._given, lambda: None)()
        return answer


def cuts(count: int) -> list[TruncatedUtterance]:
    return [truncated(f"u{number}", kept_samples=9_000 + 100 * number) for number in range(count)]


def run(
    engine: Engine,
    loaded: LoadedModel,
    prompt: Prompt,
    items: Sequence[TruncatedUtterance],
    rule: Rule = "greedy",
) -> list[Result]:
    config = PartialConfig(rule=rule, max_new_tokens=10)
    return list(
        partial_targets(
            ((cut, full_waveform(cut.id)) for cut in items),
            engine=engine, prompt=prompt, tokenizer=loaded.tokenizer, config=config, seed=7, group_size=16,
        )
    )  # fmt: skip


def said(results: Sequence[Result]) -> list[tuple[str, str, tuple[int, ...]]]:
    """What must be equal, in the order of the items; a rejection has its reason for a text."""
    return [
        (result.id, result.text, result.draft_ids)
        if isinstance(result, PartialTarget)
        else (result.id, result.reason, ())
        for result in results
    ]


def logprobs(results: Sequence[Result]) -> list[float]:
    """All scores in a row: what tells one audio from another."""
    return [
        value for result in results if isinstance(result, PartialTarget) for value in result.kept_logprobs
    ]


def restarted(server: ReplicaProcess) -> Callable[[], None]:
    def kill_and_start() -> None:
        server.kill()
        server.start()

    return kill_and_start


@pytest.mark.parametrize(
    ("comes_back", "rule"),
    [(True, "greedy"), (False, "generate")],
    ids=["killed and started again", "killed for good"],
)
def test_a_killed_and_a_failing_server_change_nothing(
    micro_dir: Path, loaded: LoadedModel, prompt: Prompt, comes_back: bool, rule: Rule
) -> None:
    items = cuts(40)
    expected = run(TransformersEngine(loaded), loaded, prompt, items, rule)
    with replicas(2, micro_dir) as (killed, failing):
        events = {
            13: restarted(killed) if comes_back else killed.kill,
            24: lambda: failing.set_faults(errors_s=2.0),
        }
        with engine_over([killed.url, failing.url], loaded, prompt, max_in_flight=4) as engine:
            results = run(Disturbed(engine, events), loaded, prompt, items, rule)
            assert engine.fleet.quarantined == 0
            assert engine.fleet.revived > 0
        assert not events, "both happened"
        assert failing.answered > 10
    assert said(results) == said(expected)
    assert logprobs(results) == pytest.approx(logprobs(expected), abs=1e-4)


def test_an_audio_that_kills_its_server_is_quarantined_and_the_rest_complete(
    monkeypatch: pytest.MonkeyPatch, micro_dir: Path, tmp_path: Path, loaded: LoadedModel, prompt: Prompt
) -> None:
    items = cuts(7)
    poison = items[3]
    monkeypatch.setattr(server_module, "MODULE", "tests.support.replica_server")
    monkeypatch.setattr(server_module, "require_vllm", lambda kind: VERSION)
    monkeypatch.setattr("lalm.vllm.opening.installed_version", lambda: VERSION)
    monkeypatch.setenv(DIE_ON, poison.audio_sha256)
    before = set(psutil.Process().children(recursive=True))
    engine = open_engine(EngineConfig(kind="vllm-server", max_in_flight=2), micro_dir, tmp_path)
    try:
        results = run(engine, loaded, prompt, items)
    finally:
        engine.close()
    expected = said(run(TransformersEngine(loaded), loaded, prompt, items))
    expected[3] = (poison.id, "engine_died", ())
    assert said(results) == expected
    assert engine.fleet.quarantined == 1
    (rejection,) = [result for result in results if isinstance(result, Rejection)]
    assert f"request {poison.id}" in rejection.detail
    assert not set(psutil.Process().children(recursive=True)) - before
