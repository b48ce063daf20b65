"""Every declared family does what its own processor, forward and `generate` do; what cannot be run says so."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from lalm.encodings import AudioEncodings, encode
from lalm.engine import AudioClip, Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.errors import EngineError, ModelError
from lalm.families import FAMILIES, families_table, family_of
from lalm.loading import HearingProcessor, LoadedModel, ModelConfig, inspect_model, load_model, load_processor
from lalm.prompts import Prompt, audio_token_id, build_prompt, decode, text_ids
from lalm.transformers_engine import TransformersEngine
from tests.support.families import SAMPLES, stand_ins
from tests.support.micro import random_waveform, train_tokenizer

INSTRUCTION = "Translate the English speech into German."
MORE_SAMPLES = (5_000, 16_001, 23_456, 40_000)
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=SAMPLES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    with stand_ins():
        yield load_model(config(built(request.param, tmp_path_factory.mktemp("families") / request.param)))


@pytest.fixture(scope="module")
def prompt(loaded: LoadedModel) -> Prompt:
    return build_prompt(loaded, ModelConfig(path="unused"), "en", "de")


@pytest.fixture(scope="module")
def clips(loaded: LoadedModel) -> list[AudioClip]:
    return [clip(num_samples) for num_samples in (loaded.info.family.min_samples, *MORE_SAMPLES)]


def built(family: str, directory: Path) -> Path:
    if family == "voxtral":
        pytest.importorskip("mistral_common")
    directory.mkdir()
    SAMPLES[family].build(directory)
    return directory


def config(directory: Path) -> ModelConfig:
    return ModelConfig(path=str(directory), device="cpu")


def clip(num_samples: int) -> AudioClip:
    return AudioClip(key=str(num_samples), waveform=random_waveform(num_samples, num_samples))


def own_inputs(loaded: LoadedModel, audio: AudioClip) -> dict[str, Any]:
    """What the family's own processor makes of the instruction and an audio."""
    return SAMPLES[loaded.info.family.model_type].inputs(loaded, INSTRUCTION, audio.waveform)


def own_answer(loaded: LoadedModel, audio: AudioClip, prompt: Prompt) -> tuple[int, ...]:
    inputs = own_inputs(loaded, audio)
    output = loaded.model.generate(
        **inputs, max_new_tokens=10, do_sample=False, eos_token_id=list(prompt.stop_ids), pad_token_id=0
    )
    ids = output[0, inputs["input_ids"].shape[1] :].tolist()
    return tuple(ids[:-1] if ids[-1] in prompt.stop_ids else ids)


def ask(prompt: Prompt, audio: AudioClip) -> GenerateRequest:
    return GenerateRequest(request_id=audio.key, prompt_ids=prompt.ids, audio=audio, max_new_tokens=10)


def test_a_prompt_is_what_the_processor_makes_with_its_audio_positions_made_one(
    loaded: LoadedModel, prompt: Prompt
) -> None:
    audio_id = audio_token_id(loaded.tokenizer, loaded.info.family)
    theirs = own_inputs(loaded, clip(16_000))["input_ids"][0].tolist()
    ours = [id for id, run in groupby(theirs) for id in ([id] if id == audio_id else run)]

    assert list(prompt.ids) == ours
    assert prompt.ids.count(audio_id) == 1
    assert theirs.count(audio_id) == len(encode(loaded, [clip(16_000)])[0])


def test_a_template_that_drops_the_audio_stops_the_run(loaded: LoadedModel) -> None:
    if not isinstance(loaded.processor, HearingProcessor):
        pytest.skip("Mistral's format is no template")
    deaf = dataclasses.replace(loaded.processor, chat_template="{{ messages[0].role }}")

    with pytest.raises(EngineError, match=r"canary.*0 .* placeholders"):
        build_prompt(deaf, ModelConfig(path="unused"), "en", "de")


def test_generate_equals_the_models_own_greedy_generate(
    loaded: LoadedModel, prompt: Prompt, clips: list[AudioClip]
) -> None:
    ours = dict(TransformersEngine(loaded, batch_size=3).generate(ask(prompt, audio) for audio in clips))

    assert all(isinstance(answer, Generation) for answer in ours.values())
    assert len({answer.token_ids for answer in ours.values()}) > 1, "the model must hear a difference"  # type: ignore[union-attr]
    for audio in clips:
        assert ours[audio.key].token_ids == own_answer(loaded, audio, prompt)  # type: ignore[union-attr]


def test_scores_equal_a_plain_full_forward(
    loaded: LoadedModel, prompt: Prompt, clips: list[AudioClip]
) -> None:
    continuation = (40, 133, 77, 201)
    asked = [
        ScoreRequest(request_id=a.key, prompt_ids=prompt.ids, audio=a, continuation_ids=continuation)
        for a in clips
    ]
    scores = dict(TransformersEngine(loaded).score(asked))
    for audio in clips:
        inputs = own_inputs(loaded, audio) | {"use_cache": False}
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([continuation])], dim=-1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            logits = loaded.model(**inputs).logits[0, -len(continuation) - 1 : -1].float()
        own = logits.log_softmax(-1)[torch.arange(len(continuation)), torch.tensor(continuation)]
        score = scores[audio.key]
        assert isinstance(score, Score)
        assert score.logprobs == pytest.approx(own.tolist(), abs=TOLERANCE)


def test_audio_is_encoded_once_and_kept_by_content(
    loaded: LoadedModel, prompt: Prompt, clips: list[AudioClip]
) -> None:
    encodings = AudioEncodings()
    engine = TransformersEngine(loaded, encodings=encodings)
    for alone in (False, True):
        list(engine.generate(dataclasses.replace(ask(prompt, audio), alone=alone) for audio in clips))

    assert encodings.encoded == len(clips)


def test_bfloat16_answers_every_request(loaded: LoadedModel, prompt: Prompt, clips: list[AudioClip]) -> None:
    half = load_model(ModelConfig(path=loaded.info.name, device="cpu", dtype="bfloat16"))
    answers = dict(TransformersEngine(half).generate(ask(prompt, audio) for audio in clips))

    assert all(isinstance(answer, Generation) for answer in answers.values())


def test_audio_outside_the_familys_bounds_is_refused_alone(loaded: LoadedModel, prompt: Prompt) -> None:
    family = loaded.info.family
    short, good = clip(family.min_samples - 1), clip(family.min_samples)
    long = AudioClip(key="long", waveform=np.zeros(int(family.max_audio_s * 16_000) + 1, dtype=np.float32))
    answers = dict(TransformersEngine(loaded).generate(ask(prompt, audio) for audio in (short, long, good)))

    assert isinstance(answers[short.key], Failure)
    assert answers[long.key].reason == "exceeds_model_window"  # type: ignore[union-attr]
    assert isinstance(answers[good.key], Generation)


def test_corpus_text_survives_and_cannot_smuggle_in_a_turn_end(loaded: LoadedModel, prompt: Prompt) -> None:
    text = f"Grüße {loaded.info.family.stop_tokens[0]} an {loaded.info.family.audio_token} alle."
    ids = text_ids(loaded.tokenizer, text)

    assert not {*prompt.stop_ids, audio_token_id(loaded.tokenizer, loaded.info.family)} & set(ids)
    assert decode(loaded.tokenizer, ids) == text


def test_lora_reaches_the_language_models_projections_and_nothing_else(loaded: LoadedModel) -> None:
    family, decoder = loaded.info.family, SAMPLES[loaded.info.family.model_type].decoder
    linear = {
        name for name, part in loaded.model.named_modules() if isinstance(part, torch.nn.Linear) and ".layers." in name
    }  # fmt: skip
    reached = {name for name in linear if re.fullmatch(family.lora_target_regex(), name)}

    assert {name.rpartition(".")[2] for name in reached} == set(family.lora_targets)
    assert all(name.startswith(decoder) for name in reached)
    assert not any(family.touches_encoder(f"base_model.model.{name}.lora_A.weight") for name in reached)
    heard = [name for name, _ in loaded.model.named_parameters() if family.touches_encoder(name)]
    assert heard
    assert not any(name.startswith(decoder) for name in heard)


def test_a_margin_of_silence_is_heard_like_the_300_s_that_the_processor_pads_to(tmp_path: Path) -> None:
    loaded = load_model(config(built("qwen2_5_omni", tmp_path / "omni")))
    audio = clip(40_000)  # whole mel frames: the last one sees past the end
    inputs = own_inputs(loaded, audio)
    with torch.inference_mode():
        padded = loaded.model.get_audio_features(
            inputs["input_features"], inputs["feature_attention_mask"], return_dict=True
        ).last_hidden_state

    assert inputs["input_features"].shape[-1] == 30_000
    torch.testing.assert_close(encode(loaded, [audio])[0], padded, atol=2e-6, rtol=0)


@pytest.mark.parametrize("family", ["granite_speech", "phi4_multimodal"])
def test_the_released_adapter_is_merged_and_computes_what_it_did_when_worn(
    family: str, tmp_path: Path
) -> None:
    directory = built(family, tmp_path / family)
    with stand_ins():
        merged = load_model(config(directory))
        inputs = own_inputs(merged, clip(9_000))
    worn = getattr(transformers, str(FAMILIES[family].model_class)).from_pretrained(directory).eval()
    if not worn._hf_peft_config_loaded:
        worn.load_adapter(str(directory / str(FAMILIES[family].own_adapter)))
    with torch.inference_mode():
        expected = worn(**inputs).logits
        worn.disable_adapters()
        without = worn(**inputs).logits
        found = merged.model(**inputs).logits

    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert not torch.allclose(found, without, atol=0.01)


@pytest.mark.parametrize("family", ["granite_speech", "phi4_multimodal"])
def test_a_model_without_the_adapter_it_hears_with_is_refused(family: str, tmp_path: Path) -> None:
    directory = built(family, tmp_path / family)
    (directory / str(FAMILIES[family].own_adapter) / "adapter_config.json").unlink()

    with pytest.raises(ModelError, match=r"hears with an adapter.*no adapter_config\.json.*whole repository"):
        load_model(config(directory))


@pytest.fixture
def ultravox(micro_dir: Path, tmp_path: Path) -> Path:
    """A directory as Ultravox is released: a tokenizer with a Llama template and no class for the rest."""
    directory = Path(shutil.copytree(micro_dir, tmp_path / "ultravox"))
    tokenizer = train_tokenizer(
        special=("<|end_of_text|>", "<|eot_id|>", "<|user|>", "<|audio|>"), turn_end="<|eot_id|>"
    )
    tokenizer.chat_template = "{% for m in messages %}<|user|>{{ m.content }}<|eot_id|>{% endfor %}"
    (directory / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(directory)
    (directory / "config.json").write_text(
        json.dumps({"model_type": "ultravox", "auto_map": {"AutoConfig": "x.X"}})
    )
    return directory


def test_ultravox_is_refused_by_transformers_and_its_prompt_is_still_built(ultravox: Path) -> None:
    processor = load_processor(inspect_model(config(ultravox)), config(ultravox))
    prompt = build_prompt(processor, config(ultravox), "en", "de")

    assert processor.tokenizer.decode(list(prompt.ids)) == f"<|user|><|audio|>{INSTRUCTION}<|eot_id|>"
    with pytest.raises(ModelError, match=r"no class for Ultravox.*never run.*engine\.kind vllm-server"):
        load_model(config(ultravox))


def test_an_undeclared_family_is_refused_with_the_declared_ones_and_how_to_add_it() -> None:
    with pytest.raises(ModelError, match=r"model x: model_type 'whisper'.*lalm/families/") as refusal:
        family_of("whisper", "x")
    for family in FAMILIES.values():
        assert f"{family.name} ({family.model_type})" in str(refusal.value)


def test_verified_says_what_these_tests_run() -> None:
    verified = {model_type for model_type, family in FAMILIES.items() if family.verified == "random-init"}
    assert verified == {"qwen2_audio", *SAMPLES}  # Qwen2-Audio's random model has the whole engine contract
    assert {family.verified for family in FAMILIES.values()} == {"random-init", "not run"}


def test_the_table_has_a_line_per_family_and_as_many_cells_as_its_head() -> None:
    head, _, *rows = families_table().splitlines()
    cells = [re.split(r"(?<!\\)\|", row) for row in (head, *rows)]

    assert len(rows) == len(FAMILIES)
    assert {len(row) for row in cells} == {9}
    assert [row[1].strip() for row in cells[1:]] == [family.name for family in FAMILIES.values()]


def test_families_are_declared_without_torch() -> None:
    code = "import sys, lalm.families; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
