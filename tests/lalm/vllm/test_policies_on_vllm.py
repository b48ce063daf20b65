"""The real vLLM streams as the reference engine does: under every policy, the same words at the same delays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evaluate.config import EvaluateConfig
from evaluate.long_form import LongFormConfig
from evaluate.policies import HoldN, LocalAgreement, Policy, Retranslation, SimulSA, WaitK
from evaluate.session import SpokenUtterance
from evaluate.stream import simulate
from evaluate.trace import StreamTrace
from lalm.engine import Engine
from lalm.loading import LoadedModel
from lalm.prompts import Prompt
from lalm.transformers_engine import TransformersEngine
from tests.support.micro import random_waveform
from tests.support.vllm import REAL

pytestmark = pytest.mark.slow

CONFIG = EvaluateConfig(
    chunk_ms=(500,), base_chunk_ms=(), max_new_tokens_per_step=8, max_new_tokens_offline=16
)
SLIDING = CONFIG.model_copy(
    update={"long_form": LongFormConfig(window_ms=2000, keep_ms=1000, history_words=2, pause_ms=200)}
)
DURATIONS_MS = (1200, 1700, 2600)


@pytest.fixture(scope="session")
def vllm(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    yield REAL.get("vllm", micro_dir, tmp_path_factory.mktemp("logs"))
    REAL.close()


def stream(
    engine: Engine, loaded: LoadedModel, prompt: Prompt, policy: Policy, config: EvaluateConfig
) -> list[StreamTrace]:
    spoken = [
        SpokenUtterance(id=f"u{seed}", waveform=waveform(seed, ms), sha=f"{seed}", references=("x",))
        for seed, ms in enumerate(DURATIONS_MS)
    ]
    return simulate(
        spoken, engine=engine, prompt=prompt, tokenizer=loaded.tokenizer, chunk_ms=500, config=config,
        adapter=None, tgt_lang="de", policy=policy,
    )  # fmt: skip


def waveform(seed: int, duration_ms: int) -> np.ndarray:
    """Sound with a pause of 300 ms after its first second."""
    samples = random_waveform(seed, duration_ms * 16)
    samples[16_000:20_800] = 0
    return samples


@pytest.mark.parametrize("config", [CONFIG, SLIDING], ids=["whole", "sliding"])
@pytest.mark.parametrize(
    "policy", [SimulSA(), WaitK(k=2), LocalAgreement(n=2), HoldN(n=2), Retranslation(mask=1)], ids=repr
)
def test_vllm_streams_what_the_reference_does(
    policy: Policy, config: EvaluateConfig, vllm: Engine, loaded: LoadedModel, prompt: Prompt
) -> None:
    ours = stream(TransformersEngine(loaded), loaded, prompt, policy, config)
    theirs = stream(vllm, loaded, prompt, policy, config)
    assert theirs == ours
    assert all(trace.text and trace.failure is None for trace in ours)
