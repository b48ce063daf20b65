"""The canary tells a good engine from those that failed silently in some release."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peft import LoraConfig, get_peft_model

from lalm.engine import AudioClip, Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import LoadedModel, ModelConfig
from lalm.prompts import Prompt, build_prompt
from lalm.transformers_engine import TransformersEngine
from lalm.vllm.canary import check_adapter, check_engine
from tests.support.vllm import random_adapter

DEAF = AudioClip(key="always the same", waveform=np.full(16_000, 0.25, np.float32))
Said = tuple[str, Generation | Failure]
Scored = tuple[str, Score | Failure]


class Spoilt(TransformersEngine):
    """The reference with one thing wrong."""

    generated: Callable[[Said], Said] = staticmethod(lambda said: said)
    scored: Callable[[Scored], Scored] = staticmethod(lambda scored: scored)
    hears = True
    wears = True

    def generate(self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None) -> Iterator[Said]:
        worn = adapter if self.wears else None
        return map(self.generated, super().generate(map(self._heard, requests), adapter=worn))

    def score(self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None) -> Iterator[Scored]:
        worn = adapter if self.wears else None
        return map(self.scored, super().score(map(self._heard, requests), adapter=worn))

    def _heard(self, request: Any) -> Any:
        return request if self.hears else replace(request, audio=DEAF)


@pytest.fixture
def engine(loaded: LoadedModel) -> Spoilt:
    return Spoilt(loaded)


@pytest.fixture(scope="module")
def prompt(loaded: LoadedModel) -> Prompt:
    return build_prompt(loaded, ModelConfig(path="unused"), "en", "de")


def test_a_good_engine_passes(engine: Spoilt, prompt: Prompt) -> None:
    check_engine(engine, prompt)


def test_an_engine_that_samples_is_refused(engine: Spoilt, prompt: Prompt) -> None:
    def sampled(said: Said) -> Said:
        assert isinstance(said[1], Generation)
        return said[0], replace(said[1], token_ids=said[1].token_ids[::-1])

    engine.generated = sampled
    with pytest.raises(EngineError, match=r"nats below another.*--generation-config vllm"):
        check_engine(engine, prompt)


def test_an_engine_that_hears_nothing_is_refused(engine: Spoilt, prompt: Prompt) -> None:
    engine.hears = False
    with pytest.raises(EngineError, match="a chirp and silence give the same scores"):
        check_engine(engine, prompt)


def test_an_engine_that_hears_nothing_is_refused_though_its_last_bits_differ(
    engine: Spoilt, prompt: Prompt
) -> None:
    rng = np.random.default_rng(1)

    def shaken(scored: Scored) -> Scored:
        assert isinstance(scored[1], Score)
        logprobs = tuple(float(value + rng.normal(scale=1e-3)) for value in scored[1].logprobs)
        return scored[0], replace(scored[1], logprobs=logprobs)

    engine.hears = False
    engine.scored = shaken
    with pytest.raises(EngineError, match="hears no audio"):
        check_engine(engine, prompt)


def test_an_engine_that_gives_no_answer_is_refused_in_its_own_words(engine: Spoilt, prompt: Prompt) -> None:
    failure = Failure(reason="output_not_finite", detail="the model computed NaN")
    engine.scored = lambda scored: (scored[0], failure)
    with pytest.raises(EngineError, match="the model computed NaN"):
        check_engine(engine, prompt)


def test_an_engine_that_ignores_an_adapter_is_refused(
    engine: Spoilt, prompt: Prompt, micro_dir: Path, tmp_path: Path
) -> None:
    adapter = random_adapter(micro_dir, tmp_path / "adapter", seed=1)
    check_adapter(engine, prompt, adapter)
    engine.wears = False
    with pytest.raises(EngineError, match="exactly as without it"):
        check_adapter(engine, prompt, adapter)


def test_an_untrained_adapter_may_change_nothing(
    engine: Spoilt, prompt: Prompt, loaded: LoadedModel, tmp_path: Path
) -> None:
    targets = loaded.info.family.lora_target_regex()
    wrapper = get_peft_model(copy.deepcopy(loaded.model), LoraConfig(r=8, target_modules=targets))
    wrapper.save_pretrained(tmp_path / "untrained")
    check_adapter(engine, prompt, tmp_path / "untrained")
