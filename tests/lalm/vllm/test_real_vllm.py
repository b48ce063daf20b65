"""The real vLLM on CPU: adapters served unmerged, both checkpoint layouts, the protocol that the stand-in imitates."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors import safe_open

from lalm.batching import answer_ids
from lalm.engine import AnyRequest, GenerateRequest, Generation, Score, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import LoadedModel
from lalm.prompts import Prompt
from lalm.transformers_engine import TransformersEngine
from lalm.vllm.answers import sampling_parameters
from lalm.vllm.engine import VllmEngine
from lalm.vllm.remote import GENERATE_PATH, audio_url
from lalm.vllm.server import served_name
from tests.support.vllm import KEY, KINDS, REAL, Kind, engine_over, random_adapter, replicas, require_vllm

pytestmark = pytest.mark.slow
TOLERANCE = 1e-4
Answers = tuple[dict[str, Generation], dict[str, Score]]


@pytest.fixture(scope="session")
def real(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], VllmEngine]]:
    """The vLLM engines of this session."""
    logs = tmp_path_factory.mktemp("logs")
    yield lambda kind: REAL.get(kind, micro_dir, logs)
    REAL.close()


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, real: Callable[[Kind], VllmEngine]) -> VllmEngine:
    return real(request.param)


@pytest.fixture(scope="module")
def adapters(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path | None, ...]:
    """The base and two adapters of every projection."""
    directory = tmp_path_factory.mktemp("adapters")
    return (None, *(random_adapter(micro_dir, directory / str(seed), seed) for seed in (1, 2)))


@pytest.fixture(scope="module")
def expected(
    loaded: LoadedModel, requests: Sequence[GenerateRequest], adapters: Sequence[Path | None]
) -> dict[Path | None, Answers]:
    """What the transformers engine says when it wears each."""
    engine = TransformersEngine(loaded)
    answers = {adapter: ask(engine, requests, adapter) for adapter in adapters}
    engine.close()
    texts = [tuple(said.token_ids for said in generations.values()) for generations, _ in answers.values()]
    assert len(set(texts)) == 3, "each adapter must change what is said"
    return answers


def ask(engine: Any, requests: Sequence[GenerateRequest], adapter: Path | None) -> Answers:
    asked = [to_score(request) for request in requests]
    return dict(engine.generate(requests, adapter=adapter)), dict(engine.score(asked, adapter=adapter))


def to_score(request: GenerateRequest) -> ScoreRequest:
    return ScoreRequest(
        request_id=request.request_id,
        prompt_ids=request.prompt_ids,
        audio=request.audio,
        continuation_ids=(40, 200, 77, 33),
    )


def require_equal(found: Answers, expected: Answers) -> None:
    for request_id, said in expected[0].items():
        assert found[0][request_id].token_ids == said.token_ids
        assert found[0][request_id].finish == said.finish
        assert found[0][request_id].min_margin == pytest.approx(said.min_margin, abs=TOLERANCE)
    for request_id, score in expected[1].items():
        assert found[1][request_id].ranks == score.ranks
        assert found[1][request_id].logprobs == pytest.approx(score.logprobs, abs=TOLERANCE)
        assert found[1][request_id].rival_logprobs == pytest.approx(score.rival_logprobs, abs=TOLERANCE)


def test_adapters_and_the_base_in_turn_say_what_they_say_when_worn(
    engine: VllmEngine,
    requests: Sequence[GenerateRequest],
    adapters: Sequence[Path | None],
    expected: dict[Path | None, Answers],
) -> None:
    for adapter in (*adapters, *reversed(adapters)):
        require_equal(ask(engine, requests, adapter), expected[adapter])


def test_adapters_asked_at_the_same_time_do_not_mix(
    engine: VllmEngine,
    requests: Sequence[GenerateRequest],
    adapters: Sequence[Path | None],
    expected: dict[Path | None, Answers],
) -> None:
    found: dict[Path | None, Answers] = {}

    def work(adapter: Path | None) -> None:
        found[adapter] = ask(engine, requests, adapter)

    threads = [threading.Thread(target=work, args=(adapter,)) for adapter in adapters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for adapter in adapters:
        require_equal(found[adapter], expected[adapter])


def test_both_checkpoint_layouts_have_the_same_names_for_vllm(micro_dir: Path) -> None:
    require_vllm()
    with warnings.catch_warnings(action="ignore"):
        from lalm.vllm.qwen2_audio import Qwen2AudioWithLoRA
    with safe_open(micro_dir / "model.safetensors", framework="pt") as weights:
        written = list(weights.keys())
    assert any(name.startswith("language_model.model.model.") for name in written), "as transformers 5 writes"
    released = [name.replace("language_model.model.model.", "language_model.model.") for name in written]
    mapper = Qwen2AudioWithLoRA.hf_to_vllm_mapper
    assert mapper.apply_list(written) == mapper.apply_list(released) == released


def test_the_key_of_a_server_is_asked_for(
    real: Callable[[Kind], VllmEngine],
    loaded: LoadedModel,
    prompt: Prompt,
    requests: Sequence[GenerateRequest],
) -> None:
    url = real("vllm-server").fleet._seats[0].replica.name
    with (
        engine_over([url], loaded, prompt, api_key="guessed") as engine,
        pytest.raises(EngineError, match="401: the API key is wrong"),
    ):
        list(engine.generate(requests))


def test_the_stand_in_speaks_as_the_real_server_does(
    real: Callable[[Kind], VllmEngine],
    micro_dir: Path,
    loaded: LoadedModel,
    prompt: Prompt,
    requests: Sequence[GenerateRequest],
) -> None:
    """Every key that the stand-in says is the real server's, with a value of the same type, and the ids are equal."""
    url = real("vllm-server").fleet._seats[0].replica.name
    with replicas(1, micro_dir, api_key=KEY) as (stand_in,):
        for request in (*requests[:4], *map(to_score, requests[:2])):
            body = question(request, served_name(loaded.info), prompt)
            ours, theirs = post(stand_in.url, body), post(url, body)
            require_shape(ours, theirs, where="answer")
            assert ours["choices"][0]["token_ids"] == theirs["choices"][0]["token_ids"] or isinstance(
                request, ScoreRequest
            )
        for path in ("/version", "/v1/models"):
            require_shape(get(stand_in.url, path), get(url, path), where=path)


def question(request: AnyRequest, model: str, prompt: Prompt) -> dict[str, Any]:
    return {
        "model": model,
        "token_ids": [*request.prompt_ids, *answer_ids(request)],
        "content_parts": [{"type": "audio_url", "url": audio_url(request.audio.waveform)}],
        "sampling_params": sampling_parameters(request, prompt.stop_ids),
    }


def post(url: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {KEY}"}
    return (
        httpx.post(url + GENERATE_PATH, json=body, headers=headers, timeout=60, trust_env=False)
        .raise_for_status()
        .json()
    )


def get(url: str, path: str) -> Any:
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.get(url + path, headers=headers, timeout=60, trust_env=False).raise_for_status().json()


def require_shape(ours: Any, theirs: Any, *, where: str) -> None:
    """Raise unless every key, and the type of its value, is also theirs; lists are compared by their last entries."""
    if isinstance(ours, dict):
        assert isinstance(theirs, dict), where
        if (
            "decoded_token" in str(ours) and "logprob" not in ours
        ):  # token ids as keys: rivals of the stand-in are made up
            ours, theirs = {"": next(iter(ours.values()))}, {"": next(iter(theirs.values()))}
        assert ours.keys() <= theirs.keys(), f"{where}: the real server has no {ours.keys() - theirs.keys()}"
        for key in ours:
            require_shape(ours[key], theirs[key], where=f"{where}.{key}")
    elif isinstance(ours, list):
        assert isinstance(theirs, list), where
        assert bool(ours) == bool(theirs), where
        if ours:
            require_shape(ours[-1], theirs[-1], where=f"{where}[-1]")
    else:
        assert type(ours) is type(theirs), where
