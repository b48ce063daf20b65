"""Qwen3-Omni's thinker (arXiv 2509.17765): a mixture of experts, 13 audio positions a second; rotary as in 2.5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lalm.families.base import Family

if TYPE_CHECKING:
    from torch import Tensor


def hear(model: Any, extractor: Any, waveform: NDArray[np.float32]) -> Tensor:
    """The thinker's audio features; its processor neither pads nor cuts a single audio."""
    features = extractor(
        waveform,
        sampling_rate=extractor.sampling_rate,
        padding=True,
        truncation=False,
        return_attention_mask=True,
        return_tensors="pt",
    )
    encoded = model.get_audio_features(
        input_features=features["input_features"].to(model.device, model.dtype),
        feature_attention_mask=features["attention_mask"].to(model.device),
        return_dict=True,
    )
    embeddings: Tensor = encoded.last_hidden_state
    return embeddings


QWEN3_OMNI = Family(
    name="Qwen3-Omni (thinker)",
    models=("Qwen/Qwen3-Omni-30B-A3B-Instruct",),
    model_types=("qwen3_omni_moe", "qwen3_omni_moe_thinker"),
    model_class="Qwen3OmniMoeThinkerForConditionalGeneration",
    audio_token="<|audio_pad|>",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("<|im_end|>", "<|endoftext|>"),
    encoder_module="audio_tower",
    decoder_module="model",
    lora_targets=("q_proj", "k_proj", "v_proj", "o_proj"),
    lora_by_name=True,  # PEFT 0.21 would take a pattern apart into bare names, which the encoder bears, too
    max_audio_s=300,
    hear=hear,
    vllm_lora="unverified",
    template_source="chat_template.json of Qwen/Qwen3-Omni-30B-A3B-Instruct (<|audio_start|><|audio_pad|>…)",
    lora_source="attention alone: transformers keeps the experts as fused tensors, which are no Linear modules",
    window_source="a bound of ours: the processor cuts nothing, and five minutes is 3,900 positions",
    verified="random-init",
    remark="Only the audio side of its processor is loaded, so torchvision is not needed.",
)
