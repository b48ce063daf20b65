"""A model that cannot be used is refused before any work, by a message that says what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from pydantic import ValidationError
from transformers.utils import is_timm_available

from lalm import hub
from lalm.errors import ModelError
from lalm.loading import LoadedModel, ModelConfig, choose_device, inspect_model, load_model, load_processor
from lalm.transformers_engine import TransformersEngine, engine_identity
from tests.support.families import SAMPLES, stand_ins


@pytest.fixture
def copy(micro_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(micro_dir, tmp_path / "copy"))


def config(path: Path | str) -> ModelConfig:
    return ModelConfig(path=str(path), device="cpu")


def edit_config(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_missing_directory_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no such directory \(looked in .*nowhere\)"):
        inspect_model(config(tmp_path / "nowhere"))


def test_a_directory_without_config_is_refused(copy: Path) -> None:
    (copy / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        inspect_model(config(copy))


def test_a_directory_without_weights_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no \*\.safetensors weights"):
        inspect_model(config(copy))


def test_pickled_weights_are_refused_with_the_reason(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*only safetensors"):
        inspect_model(config(copy))


@pytest.mark.parametrize(
    ("file", "part"), [("tokenizer.json", "tokenizer"), ("processor_config.json", "processor")]
)
def test_a_missing_tokenizer_or_processor_is_named(copy: Path, file: str, part: str) -> None:
    (copy / file).unlink()
    with pytest.raises(ModelError, match=f"no {part}"):
        inspect_model(config(copy))


def test_an_undeclared_family_is_refused_with_the_declared_ones(copy: Path) -> None:
    edit_config(copy, model_type="whisper")
    with pytest.raises(ModelError, match=r"'whisper'.*Qwen2-Audio \(qwen2_audio\).*lalm/families/"):
        inspect_model(config(copy))


def test_a_damaged_config_is_named(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is not valid JSON"):
        inspect_model(config(copy))


def test_a_feature_extractor_of_another_window_is_refused(copy: Path) -> None:
    path = copy / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["feature_extractor"] |= {"chunk_length": 30, "n_samples": 480_000}
    path.write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"480000 samples.*64000"):
        load_model(config(copy))


def test_weights_cut_short_are_refused(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="weights cannot be loaded"):
        load_model(config(copy))


def test_the_digest_depends_on_weights_and_not_on_the_readme_or_the_place(
    micro_dir: Path, copy: Path
) -> None:
    digest = inspect_model(config(micro_dir)).digest
    (copy / "README.md").write_text("a card")
    (copy / "generation_config.json").unlink()
    assert inspect_model(config(copy)).digest == digest
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(weights))
    assert inspect_model(config(copy)).digest != digest


def test_a_loaded_model_is_frozen_for_inference(loaded: LoadedModel) -> None:
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.info.window_samples == 4 * 16_000


def test_the_processor_alone_is_enough_for_prompts(micro_dir: Path, loaded: LoadedModel) -> None:
    processor = load_processor(loaded.info, config(micro_dir))
    assert processor.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()


def test_the_engines_identity_is_known_before_the_weights_are_loaded(
    micro_dir: Path, loaded: LoadedModel
) -> None:
    early = engine_identity(inspect_model(config(micro_dir)), torch.float32, choose_device("cpu"))
    assert early == TransformersEngine(loaded).identity


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(micro_dir: Path) -> None:
    with pytest.raises(ModelError, match="sees no GPU"):
        load_model(ModelConfig(path=str(micro_dir), device="cuda"))


def test_a_hub_id_offline_says_that_it_may_be_a_missing_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError, match=r"nobody/no-such-model@main is not a local directory.*cannot be reached"
    ):
        inspect_model(config("nobody/no-such-model"))


def test_an_existing_directory_is_never_taken_for_a_hub_id(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy.parent.parent)
    relative = f"{copy.parent.name}/{copy.name}"
    assert not hub.is_hub_id(relative)
    assert hub.is_hub_id("Qwen/Qwen2-Audio-7B-Instruct")
    assert inspect_model(config(relative)).window_samples == 64_000


@pytest.mark.skipif(is_timm_available(), reason="timm is installed")
def test_a_family_that_lacks_a_package_says_which(tmp_path: Path) -> None:
    with stand_ins():
        SAMPLES["gemma3n"].build(tmp_path)

    with pytest.raises(
        ModelError, match=r"Gemma 3n needs timm and torchvision.*pip install timm torchvision"
    ):
        load_model(config(tmp_path))


def test_remote_code_cannot_be_trusted() -> None:
    with pytest.raises(ValidationError, match="trust_remote_code"):
        ModelConfig(path="x", trust_remote_code=True)  # type: ignore[arg-type]


def test_an_instruction_with_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"only \{src\} and \{tgt\}"):
        ModelConfig(path="x", instruction="Translate {source}.")
