"""What a model family is: one architecture declared as data, with the few lines of its own that data cannot say.

Knows neither torch nor transformers; a family's functions receive loaded objects and call their methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Hear = Callable[[Any, Any, NDArray[np.float32]], "Tensor"]
"""Model, feature extractor, 16 kHz waveform -> the embeddings of one audio, shape (positions, width)."""

Embed = Callable[[Any, "Tensor"], "tuple[Tensor, dict[str, Tensor]]"]
"""Model, token ids (batch, positions) -> their embeddings and what else the language model wants to be told of them."""

Render = Callable[[Any, str], tuple[int, ...]]
"""Processor, instruction -> prompt ids with one placeholder, where no chat template can be rendered as text."""

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One architecture: its Hugging Face classes, module names and tokens, and the evidence that it works.

    `model_types` are the values of config.json's model_type, the usual one first. `model_class` is None where
    transformers has none; `processor_class` is None where only the processor's audio side is loaded. `stop_tokens` end
    a turn, the chat's turn end first. `audio_in_text` says that the template wants the placeholder inside the text.
    `placeholder` is what the processor turns the placeholder into around the audio; `{audio}` marks it.

    `decoder_module` is the path of the language model, `encoder_module` and `projector_module` are names on the path
    of what makes audio embeddings. `lora_by_name` gives PEFT the names of the modules instead of a pattern.
    `max_audio_s` is the longest audio, unless `window_in_config` says that the model's own configuration tells;
    `min_samples` is the shortest. `own_adapter` is where a LoRA lies that the family's weights are incomplete without.

    `needs` names modules beyond those that simulsa installs. `released_sampling` is what the released generation_config
    imposes, as far as it is known; every engine overrides it. `vllm_lora` is "unverified" where vLLM's class says
    that it takes adapters. `verified` says on what this code path was run.
    """

    name: str
    models: tuple[str, ...]
    model_types: tuple[str, ...]
    model_class: str | None
    processor_class: str | None = None
    audio_token: str
    stop_tokens: tuple[str, ...]
    audio_in_text: bool = False
    placeholder: str = "{audio}"
    encoder_module: str
    projector_module: str | None = None
    decoder_module: str
    lora_targets: tuple[str, ...] = PROJECTIONS
    lora_by_name: bool = False
    max_audio_s: float
    window_in_config: bool = False
    min_samples: int = 321
    own_adapter: str | None = None
    hear: Hear | None = None
    embed: Embed | None = None
    render: Render | None = None
    released_sampling: tuple[tuple[str, float], ...] = ()
    needs: tuple[str, ...] = ()
    vllm_lora: Literal["plugin", "unverified", "no"]
    template_source: str
    lora_source: str
    window_source: str
    verified: Literal["real-weights", "random-init", "not run"]
    remark: str = ""

    @property
    def model_type(self) -> str:
        """The family's key: the model_type of its released configurations."""
        return self.model_types[0]

    def lora_target_regex(self) -> str:
        """The modules LoRA adapts, for PEFT: the language model's projections, never the audio encoder's."""
        decoder = self.decoder_module.rpartition(".")[2]
        return rf".*{decoder}\.layers\.\d+\..*\.({'|'.join(self.lora_targets)})"

    def touches_encoder(self, parameter_name: str) -> bool:
        """Whether an adapter weight of this name changes what the audio encoder or projector computes."""
        return not {self.encoder_module, self.projector_module}.isdisjoint(parameter_name.split("."))
