"""An adapter changes what it should while it is worn, and nothing once it is taken off."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from lalm.adapters import adapter_digest
from lalm.engine import AudioClip, ScoreRequest
from lalm.errors import ModelError
from lalm.loading import LoadedModel, ModelConfig, load_model
from lalm.prompts import build_prompt
from lalm.transformers_engine import TransformersEngine
from tests.support.micro import random_waveform

DECODER = r".*language_model\.layers\.\d+\.self_attn\.q_proj"
ENCODER = r".*audio_tower\.layers\.\d+\.fc1"


def make_adapter(micro_dir: Path, out: Path, targets: str = DECODER, seed: int = 1) -> Path:
    """A LoRA with large random weights on `targets`, written by PEFT itself."""
    model = load_model(ModelConfig(path=str(micro_dir), device="cpu")).model
    wrapper = get_peft_model(model, LoraConfig(r=4, target_modules=targets))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in wrapper.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    wrapper.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def adapter(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(micro_dir, tmp_path_factory.mktemp("adapters") / "one")


@pytest.fixture(scope="module")
def other(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(micro_dir, tmp_path_factory.mktemp("adapters") / "two", seed=2)


@pytest.fixture(scope="module")
def request_(loaded: LoadedModel) -> ScoreRequest:
    prompt = build_prompt(loaded, ModelConfig(path="unused"), "en", "de")
    audio = AudioClip(key="a", waveform=random_waveform(1, 20_000))
    return ScoreRequest(request_id="r", prompt_ids=prompt.ids, audio=audio, continuation_ids=(40, 41, 42))


def logprobs(engine: TransformersEngine, request: ScoreRequest, adapter: Path | None) -> tuple[float, ...]:
    return dict(engine.score([request], adapter=adapter))["r"].logprobs  # type: ignore[union-attr]


def test_the_base_is_bitwise_the_same_after_adapters(
    loaded: LoadedModel, request_: ScoreRequest, adapter: Path, other: Path
) -> None:
    engine = TransformersEngine(loaded)
    modules = [type(module) for module in loaded.model.modules()]
    before = logprobs(engine, request_, None)
    worn = [logprobs(engine, request_, path) for path in (adapter, other, adapter)]
    assert worn[0] == worn[2]
    assert len({before, worn[0], worn[1]}) == 3
    assert logprobs(engine, request_, None) == before
    assert [type(module) for module in loaded.model.modules()] == modules
    assert logprobs(engine, request_, adapter) == worn[0]
    engine.close()


def test_a_worn_adapter_equals_the_same_adapter_merged(
    micro_dir: Path, request_: ScoreRequest, adapter: Path, loaded: LoadedModel
) -> None:
    from peft import PeftModel

    merged = load_model(ModelConfig(path=str(micro_dir), device="cpu"))
    PeftModel.from_pretrained(merged.model, adapter).merge_and_unload()
    engine = TransformersEngine(loaded)
    expected = logprobs(TransformersEngine(merged), request_, None)
    assert logprobs(engine, request_, adapter) == pytest.approx(expected, abs=1e-4)
    engine.close()


def test_two_engines_over_one_model_do_not_wear_each_others_adapter(
    loaded: LoadedModel, request_: ScoreRequest, adapter: Path
) -> None:
    plain, tuned = TransformersEngine(loaded), TransformersEngine(loaded)
    expected = logprobs(plain, request_, None)
    worn = tuned.score([request_, request_], adapter=adapter)
    next(worn)
    assert logprobs(plain, request_, None) == expected
    tuned.close()


def test_an_adapter_of_the_encoder_gets_its_own_encodings(
    micro_dir: Path, tmp_path: Path, loaded: LoadedModel, request_: ScoreRequest, adapter: Path
) -> None:
    hearing = make_adapter(micro_dir, tmp_path / "hearing", targets=ENCODER)
    engine = TransformersEngine(loaded)
    before = logprobs(engine, request_, None)
    assert loaded.adapters.wear(adapter) == "base"
    assert loaded.adapters.wear(hearing) == adapter_digest(hearing)
    assert logprobs(engine, request_, hearing) != before
    assert logprobs(engine, request_, None) == before
    engine.close()


def test_the_digest_is_of_content_not_of_place(adapter: Path, other: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(adapter, tmp_path / "copy"))
    assert adapter_digest(copy) == adapter_digest(adapter) != adapter_digest(other)


def test_an_adapters_weights_are_read_once_for_its_digest_and_again_when_they_change(
    adapter: Path, other: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(adapter, tmp_path / "copy"))
    weights = copy / "adapter_model.safetensors"
    first, time_ns = adapter_digest(copy), weights.stat().st_mtime_ns
    weights.write_bytes((other / weights.name).read_bytes())
    os.utime(weights, ns=(time_ns, time_ns))
    assert adapter_digest(copy) == first  # the same place, size and time: not read again
    os.utime(weights, ns=(time_ns, time_ns + 1_000_000))
    assert adapter_digest(copy) == adapter_digest(other)


def test_a_directory_without_adapter_is_refused(tmp_path: Path, loaded: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        loaded.adapters.wear(tmp_path)


def test_a_pickled_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    (tmp_path / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match=r"adapter_model\.bin is refused"):
        adapter_digest(tmp_path)
