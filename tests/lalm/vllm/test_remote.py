"""What an HTTP replica makes of a server's answers, refusals, overload and silence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lalm.engine import Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import LoadedModel
from lalm.prompts import Prompt
from lalm.transformers_engine import TransformersEngine
from lalm.vllm.remote import HttpReplica
from lalm.vllm.replica import ReplicaError
from tests.support.vllm import ReplicaProcess, engine_over, random_adapter, replicas

pytestmark = pytest.mark.slow
KEY = "right"
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def process(micro_dir: Path) -> Iterator[ReplicaProcess]:
    with replicas(1, micro_dir, api_key=KEY) as (server,):
        yield server


@pytest.fixture
def server(process: ReplicaProcess) -> ReplicaProcess:
    process.set_faults()
    return process


@pytest.fixture(scope="module")
def adapter(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_adapter(micro_dir, tmp_path_factory.mktemp("adapters") / "one", seed=1)


def to_score(request: GenerateRequest) -> ScoreRequest:
    return ScoreRequest(
        request_id=request.request_id,
        prompt_ids=request.prompt_ids,
        audio=request.audio,
        continuation_ids=(40, 200, 77),
    )


def same(found: Generation | Score | Failure, expected: Generation | Score | Failure) -> bool:
    """Equal ids and ranks, and equal numbers up to rounding."""
    if isinstance(found, Generation) and isinstance(expected, Generation):
        margin = pytest.approx(expected.min_margin, abs=TOLERANCE)
        return (
            replace(found, min_margin=0.0) == replace(expected, min_margin=0.0) and found.min_margin == margin
        )
    if isinstance(found, Score) and isinstance(expected, Score):
        return (
            found.ranks == expected.ranks
            and found.logprobs == pytest.approx(expected.logprobs, abs=TOLERANCE)
            and found.rival_logprobs == pytest.approx(expected.rival_logprobs, abs=TOLERANCE)
        )
    return False


def ask(replica: HttpReplica, request: GenerateRequest, times: int = 1) -> list[object]:
    """What each of several questions in a row gave, errors included."""

    async def questions() -> list[object]:
        results: list[object] = []
        for _ in range(times):
            results += await asyncio.gather(replica.answer(request, None), return_exceptions=True)
        await replica.close()
        return results

    return asyncio.run(questions())


def replica_of(
    server: ReplicaProcess, prompt: Prompt, *, api_key: str = KEY, path: str = "", timeout_s: float = 60.0
) -> HttpReplica:
    return HttpReplica(
        server.url + path, model=server.name, stop_ids=prompt.stop_ids, api_key=api_key, timeout_s=timeout_s
    )


@pytest.mark.parametrize("worn", [False, True], ids=["base", "adapter"])
def test_answers_over_http_are_those_of_the_engine_behind(
    server: ReplicaProcess,
    loaded: LoadedModel,
    prompt: Prompt,
    requests: Sequence[GenerateRequest],
    adapter: Path,
    worn: bool,
) -> None:
    path = adapter if worn else None
    asked = [to_score(request) for request in requests]
    reference = TransformersEngine(loaded, batch_size=1)
    generations, scores = (
        dict(reference.generate(requests, adapter=path)),
        dict(reference.score(asked, adapter=path)),
    )
    reference.close()
    if not worn:
        finishes = {said.finish for said in generations.values() if isinstance(said, Generation)}
        assert finishes == {"stop", "length"}
    with engine_over([server.url], loaded, prompt, api_key=KEY) as engine:
        for request_id, said in engine.generate(requests, adapter=path):
            assert same(said, generations[request_id])
        for request_id, score in engine.score(asked, adapter=path):
            assert same(score, scores[request_id])


def test_an_adapter_that_a_restarted_server_forgot_is_loaded_again(
    server: ReplicaProcess,
    loaded: LoadedModel,
    prompt: Prompt,
    requests: Sequence[GenerateRequest],
    adapter: Path,
) -> None:
    with engine_over([server.url], loaded, prompt, api_key=KEY) as engine:
        before = dict(engine.generate(requests, adapter=adapter))
        server.set_faults(forget=1)
        assert dict(engine.generate(requests, adapter=adapter)) == before


def test_an_adapter_that_the_server_cannot_load_names_the_command_that_serves_it(
    server: ReplicaProcess,
    loaded: LoadedModel,
    prompt: Prompt,
    requests: Sequence[GenerateRequest],
    adapter: Path,
) -> None:
    server.set_faults(forget=1, lacks_directory=1)
    with (
        engine_over([server.url], loaded, prompt, api_key=KEY) as engine,
        pytest.raises(EngineError, match=rf"No adapter found.*simulsa serve CONFIG --adapter {adapter}"),
    ):
        list(engine.generate(requests, adapter=adapter))


def test_a_wrong_key_ends_the_run_and_is_not_told(
    server: ReplicaProcess, loaded: LoadedModel, prompt: Prompt, requests: Sequence[GenerateRequest]
) -> None:
    with (
        engine_over([server.url], loaded, prompt, api_key="guessed") as engine,
        pytest.raises(EngineError, match=r"401: the API key is wrong.*engine\.api_key_variable") as error,
    ):
        list(engine.generate(requests))
    assert "guessed" not in str(error.value)


def test_a_busy_server_is_asked_again(
    server: ReplicaProcess, loaded: LoadedModel, prompt: Prompt, requests: Sequence[GenerateRequest]
) -> None:
    server.set_faults(busy=7)
    with engine_over([server.url], loaded, prompt, api_key=KEY) as engine:
        results = dict(engine.generate(requests))
    assert all(isinstance(result, Generation) for result in results.values())
    assert engine.fleet.revived == 0


def test_a_server_that_does_not_answer_in_time_counts_as_lost(
    server: ReplicaProcess, prompt: Prompt, requests: Sequence[GenerateRequest]
) -> None:
    server.set_faults(hang=1)
    silent, said = ask(replica_of(server, prompt, timeout_s=2.0), requests[0], times=2)
    assert isinstance(silent, ReplicaError)
    assert silent.lost
    assert "ReadTimeout" in str(silent)
    assert isinstance(said, Generation)


def test_a_server_error_is_no_death_and_neither_is_the_connection_that_it_closes(
    server: ReplicaProcess, prompt: Prompt, requests: Sequence[GenerateRequest]
) -> None:
    server.set_faults(errors_s=600)
    failed = ask(replica_of(server, prompt), requests[0], times=5)
    assert [isinstance(error, ReplicaError) and error.lost for error in failed] == [False] * 5
    assert "500 an injected fault" in str(failed[0])


def test_a_server_that_is_not_there_is_lost(prompt: Prompt, requests: Sequence[GenerateRequest]) -> None:
    replica = HttpReplica("http://127.0.0.1:9", model="m", stop_ids=prompt.stop_ids)
    assert not asyncio.run(replica.healthy())
    (error,) = ask(HttpReplica("http://127.0.0.1:9", model="m", stop_ids=prompt.stop_ids), requests[0])
    assert isinstance(error, ReplicaError)
    assert error.lost


def test_an_address_without_the_protocol_ends_the_run_instead_of_failing_each_request(
    server: ReplicaProcess, prompt: Prompt, requests: Sequence[GenerateRequest]
) -> None:
    (error,) = ask(replica_of(server, prompt, path="/elsewhere"), requests[0])
    assert isinstance(error, EngineError)
    assert "404 (Not Found)" in str(error)
    assert "--enable-scale-out" in str(error)


def test_a_refused_request_fails_alone_in_the_servers_words(
    server: ReplicaProcess, prompt: Prompt, requests: Sequence[GenerateRequest]
) -> None:
    (refused,) = ask(replica_of(server, prompt), replace(requests[0], prompt_ids=(10**6, *prompt.ids)))
    assert isinstance(refused, Failure)
    assert refused.reason == "engine_refused"
    assert "token ids must lie in" in refused.detail
