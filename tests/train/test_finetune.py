"""Fine-tuning learns, leaves the base model alone, and resumes to the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from lalm.encodings import AudioEncodings
from lalm.engine import AudioClip, ScoreRequest
from lalm.loading import LoadedModel, ModelConfig, load_model
from lalm.prompts import Prompt, text_ids
from lalm.transformers_engine import TransformersEngine
from tests.support.examples import utterance
from tests.train.conftest import OFFLINE, load_audio
from train.config import FinetuneConfig
from train.errors import TrainError
from train.finetune import finetune
from train.manifest import AdapterManifest
from train.steps import learning_rate

Train = Callable[..., AdapterManifest]
WEIGHTS = "adapter_model.safetensors"


class Killed(BaseException):
    """Stands for anything that ends a run between two steps."""


def stop_after(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Killed

    return progress


def test_training_on_few_utterances_lowers_their_loss(train: Train) -> None:
    manifest = train("adapter", offline=OFFLINE[:2], steps=40, learning_rate=1e-2)

    assert manifest.loss_last < 0.5 * manifest.loss_first


def test_the_base_model_is_left_bit_for_bit_as_it_was(
    train: Train, loaded: LoadedModel, dataset_dir: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    modules = [type(module) for module in loaded.model.modules()]

    train("adapter", dataset_dir)

    after = loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [type(module) for module in loaded.model.modules()] == modules
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_a_failed_run_also_gives_the_base_model_back(train: Train, loaded: LoadedModel) -> None:
    modules = [type(module) for module in loaded.model.modules()]
    with pytest.raises(Killed):
        train("adapter", options={"progress": stop_after(1)})

    assert [type(module) for module in loaded.model.modules()] == modules


def test_equal_inputs_give_equal_files(train: Train, tmp_path: Path, dataset_dir: Path) -> None:
    for name in ("one", "two"):
        train(name, dataset_dir, augmented_weight=0.3)

    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert one.keys() == {WEIGHTS, "adapter_config.json", "manifest.json", "train_log.jsonl"}


def test_no_machine_path_and_no_pickle_is_written(train: Train, tmp_path: Path, micro_dir: Path) -> None:
    with pytest.raises(Killed):
        train("adapter", checkpoint_every=1, options={"progress": stop_after(2)})
    files = [path for path in (tmp_path / "adapter").rglob("*") if path.is_file()]
    train("adapter", checkpoint_every=1)
    files += [path for path in (tmp_path / "adapter").rglob("*") if path.is_file()]

    assert {path.suffix for path in files} == {".safetensors", ".json", ".jsonl"}
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == micro_dir.name
    for path in (tmp_path / "adapter").iterdir():
        assert str(micro_dir.parent).encode() not in path.read_bytes()


def test_an_adapter_of_a_hub_model_names_it_by_its_whole_id(
    loaded: LoadedModel, prompt: Prompt, encodings: AudioEncodings, tmp_path: Path
) -> None:
    from_hub = replace(loaded, info=replace(loaded.info, name="toy/micro", directory=None))

    manifest = finetune(
        from_hub, OFFLINE, load_audio, prompt, None, FinetuneConfig(steps=1, batch_size=2, lora_r=2), tmp_path,
        encodings=encodings, seed=3,
    )  # fmt: skip

    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == manifest.base_model == "toy/micro"


def test_the_adapter_says_of_another_model_what_training_taught_it(
    train: Train, tmp_path: Path, micro_dir: Path, prompt: Prompt
) -> None:
    train("adapter", offline=OFFLINE[:1], steps=30, learning_rate=1e-2)
    fresh = load_model(ModelConfig(path=str(micro_dir), device="cpu"))
    waveform = load_audio(OFFLINE[0])
    request = ScoreRequest(
        request_id="r",
        prompt_ids=prompt.ids,
        audio=AudioClip(key="k", waveform=waveform),
        continuation_ids=(*text_ids(fresh.tokenizer, OFFLINE[0].tgt_text), prompt.stop_ids[0]),
    )
    engine = TransformersEngine(fresh)

    ((_, base),) = engine.score([request])
    ((_, tuned),) = engine.score([request], adapter=tmp_path / "adapter")

    assert sum(tuned.logprobs) > 0.5 * sum(base.logprobs)  # type: ignore[union-attr]
    mean = -sum(tuned.logprobs) / len(tuned.logprobs)  # type: ignore[union-attr]
    lines = (tmp_path / "adapter" / "train_log.jsonl").read_text().splitlines()
    assert mean == pytest.approx(json.loads(lines[-1])["loss"], abs=0.05)


def test_a_control_sees_the_same_steps_and_seed_without_rows(
    train: Train, tmp_path: Path, dataset_dir: Path
) -> None:
    simulsa = train("simulsa", dataset_dir, augmented_weight=0.25)
    control = train("control", None, augmented_weight=0.25)

    assert (simulsa.drawn, control.drawn) == ({"augmented": 4, "offline": 12}, {"offline": 16})
    assert (simulsa.augmented_weight, control.augmented_weight) == (0.25, 0.0)
    assert simulsa.config == control.config
    assert simulsa.adapter_digest != control.adapter_digest
    assert control.dataset_digest is None


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_resumed_run_gives_the_same_bytes_as_an_unbroken_one(
    train: Train, tmp_path: Path, dataset_dir: Path, dropout: float
) -> None:
    options = {"checkpoint_every": 2, "steps": 7, "lora_dropout": dropout, "augmented_weight": 0.3}
    whole = train("whole", dataset_dir, **options)
    for step in (3, 5):
        with pytest.raises(Killed):
            train("broken", dataset_dir, options={"progress": stop_after(step)}, **options)
    seen: list[int] = []
    broken = train("broken", dataset_dir, options={"progress": lambda done, _: seen.append(done)}, **options)

    assert seen == [5, 6, 7]
    assert broken == whole
    for name in (WEIGHTS, "train_log.jsonl", "manifest.json"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "broken" / "checkpoints").exists()


def test_a_checkpoint_of_another_run_is_refused(train: Train, tmp_path: Path) -> None:
    options = {"progress": stop_after(1), "checkpoints": tmp_path / "checkpoints"}
    with pytest.raises(Killed):
        train("one", checkpoint_every=1, options=options)

    with pytest.raises(TrainError, match="checkpoint of another model, data or configuration"):
        train("two", checkpoint_every=1, seed=4, options={"checkpoints": tmp_path / "checkpoints"})


def test_a_torn_checkpoint_is_never_read(train: Train, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train("broken", checkpoint_every=1, options={"progress": stop_after(2)})
    torn = tmp_path / "broken" / "checkpoints" / ".step-00000003.tmp"
    torn.mkdir()
    (torn / "state.json").write_text("{")

    whole = train("whole", checkpoint_every=1)
    assert train("broken", checkpoint_every=1) == whole
    assert not torn.exists()


def test_accumulation_saves_memory_and_changes_only_last_bits(train: Train, tmp_path: Path) -> None:
    whole, parts = train("whole"), train("parts", accumulation=2)

    assert parts.loss_first == pytest.approx(whole.loss_first, rel=1e-4)
    assert parts.loss_last == pytest.approx(whole.loss_last, rel=1e-4)


def test_cached_encodings_are_shared_between_systems_and_stay_those_of_the_base(
    train: Train, loaded: LoadedModel, dataset_dir: Path
) -> None:
    shared = AudioEncodings()
    train("control", options={"encodings": shared})
    encoded = shared.encoded
    train("simulsa", dataset_dir, augmented_weight=0.25, options={"encodings": shared})

    assert shared.encoded - encoded == 3


def test_naming_a_module_of_the_encoder_trains_through_it(train: Train, tmp_path: Path) -> None:
    unused = AudioEncodings()
    manifest = train("adapter", target_modules=("fc1", "q_proj"), options={"encodings": unused})

    assert unused.encoded == 0
    assert manifest.loss_last > 0
    assert b"audio_tower.layers.0.fc1.lora_A" in (tmp_path / "adapter" / WEIGHTS).read_bytes()


def test_by_default_only_the_language_model_is_adapted(train: Train, tmp_path: Path) -> None:
    train("adapter", steps=1)
    header = (tmp_path / "adapter" / WEIGHTS).read_bytes()[:20_000]

    assert b"language_model.layers.1.mlp.down_proj.lora_B" in header
    assert b"audio_tower" not in header
    assert b"multi_modal_projector" not in header


def test_bf16_trains_and_keeps_the_shared_encodings_in_full_precision(train: Train) -> None:
    shared = AudioEncodings()
    manifest = train("adapter", steps=2, precision="bf16", options={"encodings": shared})

    assert manifest.loss_first > 0
    full = AudioEncodings()
    train("full", steps=2, options={"encodings": full})
    assert shared.num_bytes == full.num_bytes


def test_skipped_utterances_are_counted_in_the_manifest(train: Train) -> None:
    long = utterance("u" * 60)  # 40 000 samples, window 32 000
    manifest = train("adapter", offline=[*OFFLINE[:3], long])

    assert manifest.skipped == {"offline.exceeds_model_window": 4}
    assert manifest.drawn == {"offline": 12}


def test_a_batch_without_any_usable_example_stops_the_run_and_says_why(train: Train) -> None:
    with pytest.raises(TrainError, match=r"none of 4 drawn.*exceeds_model_window': 4.*longer window"):
        train("adapter", offline=[utterance("u" * 60)])


def test_no_offline_utterance_is_an_error(train: Train) -> None:
    with pytest.raises(TrainError, match="no offline utterance"):
        train("adapter", offline=[])


def test_a_target_that_fits_no_module_is_an_error_that_names_it(train: Train) -> None:
    with pytest.raises(TrainError, match="'w_pack'"):
        train("adapter", target_modules=("w_pack",))


def test_a_model_that_wears_an_adapter_is_refused(
    train: Train, tmp_path: Path, micro_dir: Path, prompt: Prompt, encodings: AudioEncodings
) -> None:
    train("adapter", steps=1)
    other = load_model(ModelConfig(path=str(micro_dir), device="cpu"))
    request = ScoreRequest(
        request_id="r",
        prompt_ids=prompt.ids,
        audio=AudioClip(key="k", waveform=load_audio(OFFLINE[0])),
        continuation_ids=prompt.stop_ids[:1],
    )
    list(TransformersEngine(other).score([request], adapter=tmp_path / "adapter"))

    with pytest.raises(TrainError, match="already wears an adapter"):
        finetune(
            other,
            OFFLINE,
            load_audio,
            prompt,
            None,
            FinetuneConfig(),
            tmp_path / "x",
            encodings=encodings,
            seed=1,
        )


def test_the_learning_rate_rises_then_falls_towards_zero() -> None:
    config = FinetuneConfig(steps=100, warmup_ratio=0.1, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(100)]

    assert rates[0] == pytest.approx(0.1)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert learning_rate(0, FinetuneConfig(steps=1)) > 0


def test_accumulation_that_does_not_divide_the_batch_is_refused() -> None:
    with pytest.raises(ValidationError, match="accumulation=3 must divide batch_size=32"):
        FinetuneConfig(accumulation=3)


KILL_ITSELF = """
import os, signal, sys
from pathlib import Path
from lalm.encodings import AudioEncodings
from lalm.loading import ModelConfig, load_model
from lalm.prompts import build_prompt
from tests.train.conftest import OFFLINE, load_audio
from train.config import FinetuneConfig
from train.finetune import finetune

model, dataset, out, kill_at = sys.argv[1:]
config = ModelConfig(path=model, device="cpu")
loaded = load_model(config)

def progress(done, total):
    if done == int(kill_at):
        os.kill(os.getpid(), signal.SIGKILL)

finetune(
    loaded, OFFLINE, load_audio, build_prompt(loaded, config, "en", "de"), Path(dataset),
    FinetuneConfig(steps=6, batch_size=4, lora_r=4, checkpoint_every=2, augmented_weight=0.3),
    Path(out), encodings=AudioEncodings(), seed=3, progress=progress,
)
"""


@pytest.mark.slow
def test_a_process_killed_by_the_system_resumes_to_the_same_bytes(
    tmp_path: Path, micro_dir: Path, dataset_dir: Path
) -> None:
    def run(out: str, kill_at: int) -> int:
        arguments = [str(micro_dir), str(dataset_dir), str(tmp_path / out), str(kill_at)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, "-c", KILL_ITSELF, *arguments], env=environment).returncode

    assert run("whole", 0) == 0
    assert [run("broken", kill_at) for kill_at in (3, 0)] == [-signal.SIGKILL, 0]

    for name in (WEIGHTS, "adapter_config.json", "train_log.jsonl", "manifest.json"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
