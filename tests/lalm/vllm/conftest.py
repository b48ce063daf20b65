"""The prompt and the requests that the tests of the vLLM engines share."""

from __future__ import annotations

import pytest

from lalm.engine import AudioClip, GenerateRequest
from lalm.loading import LoadedModel, ModelConfig
from lalm.prompts import Prompt, build_prompt
from tests.support.micro import random_waveform

DURATIONS = (5_000, 16_000, 23_456, 40_000, 63_999, 64_000)


@pytest.fixture(scope="session")
def prompt(loaded: LoadedModel) -> Prompt:
    return build_prompt(loaded, ModelConfig(path="unused"), "en", "de")


@pytest.fixture(scope="session")
def requests(prompt: Prompt) -> list[GenerateRequest]:
    """Of different lengths; some turns end, others hit the limit."""
    return [
        GenerateRequest(
            request_id=f"r{seed}",
            prompt_ids=prompt.ids,
            audio=AudioClip(key=f"{seed}", waveform=random_waveform(seed, num_samples)),
            max_new_tokens=16,
        )
        for seed, num_samples in enumerate(DURATIONS * 2)
    ]
