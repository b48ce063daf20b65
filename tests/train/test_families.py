"""One LoRA step on every family: it learns in the declared modules alone, and what it saved changes what is said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from augment.audio import pcm_digest
from lalm.encodings import AudioEncodings
from lalm.engine import AudioClip, Score, ScoreRequest
from lalm.loading import LoadedModel, ModelConfig, load_model
from lalm.prompts import Prompt, build_prompt, text_ids
from lalm.transformers_engine import TransformersEngine
from tests.support.families import SAMPLES, stand_ins
from tests.support.micro import GERMAN, random_waveform
from tests.train.conftest import OFFLINE, load_audio
from train.config import FinetuneConfig
from train.data import TrainingExample
from train.finetune import finetune
from train.lora import lora_attached
from train.loss import summed_loss


@pytest.fixture(scope="module", params=SAMPLES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    if request.param == "voxtral":
        pytest.importorskip("mistral_common")
    directory = tmp_path_factory.mktemp(request.param)
    with stand_ins():
        SAMPLES[request.param].build(directory)
        yield load_model(ModelConfig(path=str(directory), device="cpu"))


@pytest.fixture(scope="module")
def prompt(loaded: LoadedModel) -> Prompt:
    return build_prompt(loaded, ModelConfig(path="unused"), "en", "de")


@pytest.fixture(scope="module")
def examples(loaded: LoadedModel, prompt: Prompt) -> list[TrainingExample]:
    waveforms = [random_waveform(n, n) for n in (7_000, 20_001)]
    return [
        TrainingExample(
            id=text, source="offline", clip=AudioClip(key=pcm_digest(waveform), waveform=waveform),
            target_ids=(*text_ids(loaded.tokenizer, text), prompt.stop_ids[0]),
        )
        for text, waveform in zip((GERMAN[0], ""), waveforms, strict=True)
    ]  # fmt: skip


def test_one_step_saves_an_adapter_of_the_declared_modules_that_changes_the_scores(
    loaded: LoadedModel, prompt: Prompt, tmp_path: Path
) -> None:
    settings = FinetuneConfig(steps=1, batch_size=4, lora_r=2, learning_rate=0.01, warmup_ratio=0)
    manifest = finetune(
        loaded, OFFLINE[:4], load_audio, prompt, None, settings, tmp_path, encodings=AudioEncodings(), seed=1
    )
    family, decoder = loaded.info.family, SAMPLES[loaded.info.family.model_type].decoder
    with safe_open(tmp_path / "adapter_model.safetensors", framework="pt") as weights:
        names = [name.removeprefix("base_model.model.") for name in weights.keys()]  # noqa: SIM118

    assert math.isfinite(manifest.loss_first)
    assert all(name.startswith(decoder) for name in names)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in names} == set(family.lora_targets)

    engine = TransformersEngine(loaded)
    request = ScoreRequest(
        request_id="r", prompt_ids=prompt.ids, continuation_ids=text_ids(loaded.tokenizer, GERMAN[0]),
        audio=AudioClip(key="a", waveform=load_audio(OFFLINE[0])),
    )  # fmt: skip
    before, worn, after = (
        dict(engine.score([request], adapter=path))["r"] for path in (None, tmp_path, None)
    )
    assert isinstance(before, Score)
    assert isinstance(worn, Score)
    assert sum(worn.logprobs) > sum(before.logprobs)  # it was trained to say this
    assert after == before


def test_the_loss_is_minus_the_score_of_the_target(
    loaded: LoadedModel, prompt: Prompt, examples: list[TrainingExample]
) -> None:
    requests = [
        ScoreRequest(
            request_id=e.id, prompt_ids=prompt.ids, audio=e.clip, continuation_ids=e.target_ids, alone=True
        )
        for e in examples
    ]
    scores = dict(TransformersEngine(loaded).score(requests)).values()
    with torch.no_grad():
        loss = summed_loss(loaded, examples, prompt, encodings=AudioEncodings())

    expected = -sum(sum(score.logprobs) for score in scores)  # type: ignore[union-attr]
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_training_through_the_encoder_has_the_same_loss_and_reaches_it(
    loaded: LoadedModel, prompt: Prompt, examples: list[TrainingExample]
) -> None:
    encoder = [
        name for name, part in loaded.model.named_modules()
        if isinstance(part, torch.nn.Linear) and loaded.info.family.touches_encoder(f"{name}.weight")
    ]  # fmt: skip
    config = FinetuneConfig(lora_r=2, target_modules=tuple(encoder))
    with torch.no_grad():
        cached = summed_loss(loaded, examples, prompt, encodings=AudioEncodings())
    with lora_attached(loaded, config, seed=3) as lora:
        through = summed_loss(loaded, examples, prompt, encodings=None)
        through.backward()  # type: ignore[no-untyped-call]
        reached = [
            name for name, p in lora.parameters.items() if p.grad is not None and p.grad.abs().sum() > 0
        ]

    assert lora.touches_encoder
    assert float(through.detach()) == pytest.approx(float(cached), rel=1e-4)
    assert reached
    assert all(loaded.info.family.touches_encoder(name) for name in reached)


def test_an_adapter_does_not_outlive_its_training(loaded: LoadedModel) -> None:
    before = dataclasses.replace(loaded).model.state_dict().keys()
    with lora_attached(loaded, FinetuneConfig(lora_r=2), seed=3):
        pass
    assert loaded.model.state_dict().keys() == before
