"""A random model of every family that transformers has a class for, tiny, and saved as the family is released.

Configuration, model, tokenizer, feature extractor and processor are the real classes. What cannot be had on a machine
without torchvision is stood in for: the picture side of processors, and Gemma's picture tower, which no audio passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lalm.loading import LoadedModel
from tests.support.families import inputs, models
from tests.support.families.stand_ins import stand_ins

__all__ = ["SAMPLES", "Sample", "stand_ins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How to save a random model of one family below a directory, and what its own processor makes of a request.

    `inputs` takes a loaded model, an instruction and a waveform. The modules that LoRA may reach begin with `decoder`.
    """

    build: Callable[[Path], None]
    inputs: Callable[[LoadedModel, str, NDArray[np.float32]], dict[str, Any]]
    decoder: str


SAMPLES = {
    "qwen2_5_omni": Sample(build=models.qwen2_5_omni, inputs=inputs.qwen2_5_omni, decoder="model.layers."),
    "qwen3_omni_moe": Sample(build=models.qwen3_omni, inputs=inputs.qwen3_omni, decoder="model.layers."),
    "voxtral": Sample(build=models.voxtral, inputs=inputs.voxtral, decoder="model.language_model.layers."),
    "granite_speech": Sample(
        build=models.granite_speech, inputs=inputs.granite_speech, decoder="model.language_model.layers."
    ),
    "phi4_multimodal": Sample(
        build=models.phi4_multimodal, inputs=inputs.phi4_multimodal, decoder="model.layers."
    ),
    "gemma3n": Sample(build=models.gemma3n, inputs=inputs.gemma3n, decoder="model.language_model.layers."),
}
