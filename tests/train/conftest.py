"""A random micro LALM, an offline corpus in memory and a small dataset, built once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from augment.schema import Utterance
from lalm.encodings import AudioEncodings
from lalm.loading import LoadedModel, ModelConfig, load_model
from lalm.prompts import Prompt, build_prompt
from tests.support.examples import build_dataset, full_waveform, utterance
from tests.support.micro import GERMAN, random_micro_lalm
from train.config import FinetuneConfig
from train.finetune import finetune
from train.manifest import AdapterManifest

OFFLINE = [utterance(f"u{i:02d}", tgt_text=GERMAN[i % 4]) for i in range(12)]


@pytest.fixture(scope="session")
def micro_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_micro_lalm(tmp_path_factory.mktemp("models") / "micro", window_s=2)


@pytest.fixture(scope="session")
def loaded(micro_dir: Path) -> LoadedModel:
    return load_model(ModelConfig(path=str(micro_dir), device="cpu"))


@pytest.fixture(scope="session")
def prompt(loaded: LoadedModel, micro_dir: Path) -> Prompt:
    return build_prompt(loaded, ModelConfig(path=str(micro_dir)), "en", "de")


@pytest.fixture(scope="session")
def encodings() -> AudioEncodings:
    return AudioEncodings()


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("augmented")
    build_dataset(root, ["r1", "r2", "r3"], texts={"r2": ""})
    return root / "dataset"


def load_audio(item: Utterance) -> Any:
    return full_waveform(item.id, 16_000 + 400 * len(item.id))


@pytest.fixture
def train(
    loaded: LoadedModel, prompt: Prompt, encodings: AudioEncodings, tmp_path: Path
) -> Callable[..., AdapterManifest]:
    """Fine-tune into `tmp_path / name`; configuration by keyword."""

    def run(
        name: str,
        dataset: Path | None = None,
        *,
        seed: int = 3,
        offline: list[Utterance] = OFFLINE,
        options: dict[str, Any] | None = None,
        **config: Any,
    ) -> AdapterManifest:
        settings = FinetuneConfig(
            **{"steps": 4, "batch_size": 4, "lora_r": 4, "learning_rate": 3e-3} | config
        )
        return finetune(
            loaded, offline, load_audio, prompt, dataset, settings, tmp_path / name,
            **{"encodings": encodings, "seed": seed} | (options or {}),
        )  # fmt: skip

    return run
