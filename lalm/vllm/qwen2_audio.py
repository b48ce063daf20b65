"""Qwen2-Audio for vLLM with what the stock class lacks: LoRA, both checkpoint layouts, a window of the model's own,
and an encoder that computes no silence.

Imported by vLLM itself, through `lalm.vllm.plugin`; nothing else in simulsa imports it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from vllm.model_executor.models.interfaces import SupportsLoRA
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.qwen2_audio import (
    Qwen2AudioDummyInputsBuilder,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioMultiModalProcessor,
    Qwen2AudioProcessingInfo,
)
from vllm.model_executor.models.utils import AutoWeightsLoader, WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.utils.gpu_sync_debug import gpu_sync_allowed

from lalm.encodings import encode_audio_part

LONGEST_PADDING = 1.25
"""Padding costs as much as audio does, a further pass only its launch."""


@MULTIMODAL_REGISTRY.register_processor(
    Qwen2AudioMultiModalProcessor, info=Qwen2AudioProcessingInfo, dummy_inputs=Qwen2AudioDummyInputsBuilder
)
class Qwen2AudioWithLoRA(Qwen2AudioForConditionalGeneration, SupportsLoRA):  # type: ignore[misc]
    """The stock model; adapters may touch the language model's projections, as `Family.lora_targets` says.

    The mapper reads the released layout (`language_model.model.*`), the one transformers 5 writes
    (`language_model.model.model.*`) and the names PEFT gives adapters (`model.language_model.*`).
    """

    packed_modules_mapping: ClassVar = {
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={
            "language_model.model.model.": "language_model.model.",
            "model.language_model.": "language_model.model.",
            "model.audio_tower.": "audio_tower.",
            "model.multi_modal_projector.": "multi_modal_projector.",
            "lm_head.": "language_model.lm_head.",
        }
    )

    def get_mm_mapping(self) -> MultiModelKeys:
        """Which modules are the language model: the others take no adapter."""
        return MultiModelKeys.from_string_field(
            language_model="language_model", connector="multi_modal_projector", tower_model="audio_tower"
        )

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load a checkpoint of either layout; returns the names that were loaded."""
        loaded: set[str] = AutoWeightsLoader(self).load_weights(weights, mapper=self.hf_to_vllm_mapper)
        return loaded

    def _parse_and_validate_audio_input(self, **kwargs: Any) -> Any:
        """The stock parser, except that it insists on 3,000 mel frames (30 s): ours takes the model's window."""
        features = kwargs.get("input_features")
        if features is None or kwargs.get("audio_embeds") is not None:
            return super()._parse_and_validate_audio_input(**kwargs)
        return {
            "type": "audio_features",
            "input_features": features,
            "feature_attention_mask": kwargs["feature_attention_mask"],
        }

    def _process_audio_input(self, audio_input: Any) -> tuple[torch.Tensor, ...]:
        """Embeddings (positions, width) per clip; the encoder runs over the audio, not over the whole window."""
        if audio_input["type"] == "audio_embeds":
            return tuple(audio_input["audio_embeds"])
        tower = self.audio_tower
        mel = audio_input["input_features"].to(tower.conv1.weight)  # (clips, mel bins, frames)
        num_frames = audio_input["feature_attention_mask"].sum(-1)  # (clips,)
        num_inner, num_pooled = tower._get_feat_extract_output_lengths(num_frames)
        found: dict[int, torch.Tensor] = {}
        with gpu_sync_allowed():
            lengths = num_pooled.tolist()
            for group in similar_lengths(lengths):
                rows = torch.tensor(group, device=mel.device)
                encoded = encode_audio_part(tower, mel[rows], num_inner[rows])
                embeddings = self.multi_modal_projector(encoded)  # (clips, positions, width)
                found |= {i: row[: lengths[i]] for i, row in zip(group, embeddings, strict=True)}
        return tuple(found[i] for i in range(len(lengths)))


def similar_lengths(lengths: list[int]) -> list[list[int]]:
    """Indices grouped so that no clip is padded beyond `LONGEST_PADDING` times its own length."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and lengths[i] <= LONGEST_PADDING * lengths[groups[-1][0]]:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
