"""What every engine must satisfy, run against each; the model's own `generate` and forward are the reference."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lalm.engine import AudioClip, Engine, Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.loading import LoadedModel, ModelConfig
from lalm.prompts import Prompt, build_prompt
from lalm.transformers_engine import TransformersEngine
from tests.support.micro import random_waveform
from tests.support.vllm import KINDS, REAL, Kind

ENGINES = (
    "transformers",
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS),
)
DURATIONS = (1_000, 5_000, 16_000, 16_001, 23_456, 40_000, 63_999, 64_000)
TOLERANCE = 1e-4


@pytest.fixture(scope="session")
def real(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], Engine]]:
    """The vLLM engines of this session."""
    logs = tmp_path_factory.mktemp("logs")
    yield lambda kind: REAL.get(kind, micro_dir, logs)
    REAL.close()


@pytest.fixture(params=ENGINES)
def engine(
    request: pytest.FixtureRequest, loaded: LoadedModel, real: Callable[[Kind], Engine]
) -> Iterator[Engine]:
    if request.param == "transformers":
        engine = TransformersEngine(loaded, batch_size=4)
        yield engine
        engine.close()
    else:
        yield real(request.param)


@pytest.fixture(scope="session")
def prompt(loaded: LoadedModel) -> Prompt:
    return build_prompt(loaded, ModelConfig(path="unused"), "en", "de")


@pytest.fixture(scope="session")
def requests(prompt: Prompt) -> list[GenerateRequest]:
    return [
        GenerateRequest(
            request_id=f"r{seed}", prompt_ids=prompt.ids, audio=clip(seed, num_samples), max_new_tokens=12
        )
        for seed, num_samples in enumerate(DURATIONS)
    ]


def clip(seed: int, num_samples: int) -> AudioClip:
    return AudioClip(key=f"{seed}:{num_samples}", waveform=random_waveform(seed, num_samples))


def to_score(request: GenerateRequest, continuation: tuple[int, ...], **changes: Any) -> ScoreRequest:
    score = ScoreRequest(
        request_id=request.request_id,
        prompt_ids=request.prompt_ids,
        audio=request.audio,
        continuation_ids=continuation,
    )
    return replace(score, **changes)


def generations(engine: Engine, requests: list[GenerateRequest]) -> dict[str, Generation]:
    results = dict(engine.generate(requests))
    assert all(isinstance(result, Generation) for result in results.values())
    return results  # type: ignore[return-value]


def scores(engine: Engine, requests: list[ScoreRequest]) -> dict[str, Score]:
    results = dict(engine.score(requests))
    assert all(isinstance(result, Score) for result in results.values())
    return results  # type: ignore[return-value]


def hf_inputs(loaded: LoadedModel, ids: tuple[int, ...], waveform: NDArray[np.float32]) -> dict[str, Any]:
    """Inputs by the model's own processor, from text: nothing of ours but the ids."""
    text = loaded.tokenizer.decode(list(ids), skip_special_tokens=False)
    return dict(loaded.processor(text=text, audio=waveform, sampling_rate=16_000, return_tensors="pt"))


def hf_generate(loaded: LoadedModel, request: GenerateRequest, stop_ids: tuple[int, ...]) -> tuple[int, ...]:
    inputs = hf_inputs(loaded, request.prompt_ids, request.audio.waveform)
    output = loaded.model.generate(
        **inputs,
        max_new_tokens=request.max_new_tokens,
        do_sample=False,
        eos_token_id=list(stop_ids),
        pad_token_id=0,
    )
    ids = output[0, inputs["input_ids"].shape[1] :].tolist()
    return tuple(ids[:-1] if ids[-1] in stop_ids else ids)


def test_generate_equals_the_models_own_greedy_generate(
    engine: Engine, loaded: LoadedModel, requests: list[GenerateRequest], prompt: Prompt
) -> None:
    ours = generations(engine, requests)
    assert len({result.token_ids for result in ours.values()}) > 1, "the model must hear a difference"
    for request in requests:
        assert ours[request.request_id].token_ids == hf_generate(loaded, request, prompt.stop_ids)


def test_forced_ids_are_continued_not_repeated(engine: Engine, requests: list[GenerateRequest]) -> None:
    whole = generations(engine, requests)
    for cut in (1, 5):
        forced = [
            replace(r, forced_ids=whole[r.request_id].token_ids[:cut], max_new_tokens=12 - cut)
            for r in requests
            if len(whole[r.request_id].token_ids) > cut
        ]
        for request_id, result in generations(engine, forced).items():
            assert result.token_ids == whole[request_id].token_ids[cut:]


def test_a_foreign_prefix_changes_what_follows(engine: Engine, requests: list[GenerateRequest]) -> None:
    free = generations(engine, requests)
    forced = generations(engine, [replace(r, forced_ids=(40, 41, 42)) for r in requests])
    assert any(forced[r.request_id].token_ids != free[r.request_id].token_ids for r in requests)


def test_greedy_tokens_have_rank_one_and_beat_their_rival(
    engine: Engine, requests: list[GenerateRequest]
) -> None:
    made = generations(engine, requests)
    asked = [to_score(r, made[r.request_id].token_ids) for r in requests]
    for score in scores(engine, asked).values():
        assert set(score.ranks) <= {1}
        assert all(own > rival for own, rival in zip(score.logprobs, score.rival_logprobs, strict=True))


def test_min_margin_is_the_smallest_gap_to_the_rival(engine: Engine, requests: list[GenerateRequest]) -> None:
    made = generations(engine, requests)
    capped = [r for r in requests if made[r.request_id].finish == "length"]
    assert capped
    scored = scores(engine, [to_score(r, made[r.request_id].token_ids) for r in capped])
    for request in capped:
        score = scored[request.request_id]
        gaps = [own - rival for own, rival in zip(score.logprobs, score.rival_logprobs, strict=True)]
        assert made[request.request_id].min_margin == pytest.approx(min(gaps), abs=TOLERANCE)


def test_scores_equal_a_plain_full_forward(
    engine: Engine, loaded: LoadedModel, requests: list[GenerateRequest]
) -> None:
    rng = random.Random(3)
    continuations = {r.request_id: tuple(rng.randrange(6, 440) for _ in range(9)) for r in requests}
    scored = scores(engine, [to_score(r, continuations[r.request_id]) for r in requests])
    for request in requests:
        continuation = torch.tensor(continuations[request.request_id])
        inputs = hf_inputs(loaded, request.prompt_ids, request.audio.waveform)
        inputs["input_ids"] = torch.cat([inputs["input_ids"][0], continuation])[None]
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.inference_mode():
            logits = loaded.model(**inputs).logits[0, -len(continuation) - 1 : -1]  # (tokens, vocabulary)
        expected = logits.log_softmax(-1)
        own = expected[torch.arange(len(continuation)), continuation]
        ranks = (expected > own[:, None]).sum(-1) + 1
        rivals = expected.scatter(-1, continuation[:, None], -torch.inf).amax(-1)
        score = scored[request.request_id]
        assert score.logprobs == pytest.approx(own.tolist(), abs=TOLERANCE)
        assert score.rival_logprobs == pytest.approx(rivals.tolist(), abs=TOLERANCE)
        assert list(score.ranks) == ranks.tolist()


def test_alone_equals_batched(engine: Engine, requests: list[GenerateRequest]) -> None:
    batched = generations(engine, requests)
    alone = generations(engine, [replace(r, alone=True) for r in requests])
    for request_id, result in alone.items():
        assert result.token_ids == batched[request_id].token_ids
        assert result.min_margin == pytest.approx(batched[request_id].min_margin, abs=TOLERANCE)


def test_scores_alone_equal_scores_batched(engine: Engine, requests: list[GenerateRequest]) -> None:
    asked = [to_score(r, (40 + i, 200, 77)) for i, r in enumerate(requests)]
    batched = scores(engine, asked)
    for request_id, score in scores(engine, [replace(r, alone=True) for r in asked]).items():
        assert score.logprobs == pytest.approx(batched[request_id].logprobs, abs=TOLERANCE)


def test_an_alone_result_does_not_depend_on_what_else_is_asked(
    engine: Engine, requests: list[GenerateRequest]
) -> None:
    asked = [to_score(r, (40, 41, 42), alone=True) for r in requests]
    in_company = scores(engine, asked)
    for request in asked:
        assert scores(engine, [request]) == {request.request_id: in_company[request.request_id]}


def test_results_do_not_depend_on_the_order_of_requests(
    engine: Engine, requests: list[GenerateRequest]
) -> None:
    forward = generations(engine, requests)
    backward = generations(engine, requests[::-1])
    assert {k: v.token_ids for k, v in forward.items()} == {k: v.token_ids for k, v in backward.items()}


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(0, np.float32), "audio_invalid"),
        (np.zeros(100, np.float32), "audio_invalid"),
        (np.full(16_000, np.nan, np.float32), "audio_invalid"),
        (np.zeros(64_001, np.float32), "exceeds_model_window"),
    ],
    ids=["empty", "too short for one position", "not finite", "beyond the window"],
)
def test_bad_audio_fails_alone_and_the_others_complete(
    engine: Engine, requests: list[GenerateRequest], waveform: NDArray[np.float32], reason: str
) -> None:
    bad = replace(requests[0], request_id="bad", audio=AudioClip(key="bad", waveform=waveform))
    results = dict(engine.generate([requests[0], bad, requests[1]]))
    failure = results.pop("bad")
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert "bad" in failure.detail
    assert results == dict(engine.generate(requests[:2]))
    scored = dict(engine.score([to_score(bad, (40,)), to_score(requests[0], (40,))]))
    assert isinstance(scored["bad"], Failure)
    assert isinstance(scored["r0"], Score)


@pytest.mark.parametrize(
    "changes",
    [{"prompt_ids": (40, 41)}, {"prompt_ids": (3, 40, 3)}, {"forced_ids": (10**6,)}, {"max_new_tokens": 0}],
    ids=["no placeholder", "two placeholders", "id outside the vocabulary", "nothing may be said"],
)
def test_an_impossible_request_fails_alone(
    engine: Engine, requests: list[GenerateRequest], changes: dict[str, Any]
) -> None:
    results = dict(engine.generate([replace(requests[2], request_id="bad", **changes), requests[3]]))
    failure = results["bad"]
    assert isinstance(failure, Failure)
    assert failure.reason == "prompt_invalid"
    assert isinstance(results["r3"], Generation)


def test_an_empty_continuation_has_an_empty_score(engine: Engine, requests: list[GenerateRequest]) -> None:
    results = scores(engine, [to_score(requests[0], ()), to_score(requests[1], (40,))])
    assert results["r0"] == Score(logprobs=(), ranks=(), rival_logprobs=())
    assert len(results["r1"].logprobs) == 1


def test_each_request_has_its_own_cap(engine: Engine, requests: list[GenerateRequest]) -> None:
    whole = generations(engine, requests)
    capped = generations(engine, [replace(r, max_new_tokens=1 + i % 3) for i, r in enumerate(requests)])
    for i, request in enumerate(requests):
        expected = whole[request.request_id].token_ids[: 1 + i % 3]
        assert capped[request.request_id].token_ids == expected
        assert capped[request.request_id].finish == "length"


def test_a_stop_token_ends_the_turn_and_is_not_returned(
    engine: Engine, loaded: LoadedModel, requests: list[GenerateRequest], prompt: Prompt
) -> None:
    long = [replace(r, max_new_tokens=40) for r in requests]
    stopped = [r for r in generations(engine, long).values() if r.finish == "stop"]
    assert stopped, "with 40 tokens some turn must end"
    assert all(not set(result.token_ids) & set(prompt.stop_ids) for result in stopped)


def test_no_requests_give_no_results(engine: Engine) -> None:
    assert list(engine.generate([])) == []
    assert list(engine.score(iter([]))) == []


def test_identity_names_the_model_and_never_the_batch(engine: Engine, loaded: LoadedModel) -> None:
    assert engine.identity["model"] == loaded.info.digest
    assert engine.identity["dtype"] == "float32"
    assert engine.window_samples == 64_000
    assert not any("batch" in key for key in engine.identity)
