"""Phi-4-multimodal (arXiv 2503.01743): a conformer and a speech LoRA over Phi-4-mini, which is merged at loading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lalm.families.base import Family

if TYPE_CHECKING:
    from torch import Tensor


def hear(model: Any, extractor: Any, waveform: NDArray[np.float32]) -> Tensor:
    """The speech projection of one audio: the model's own audio embedding over a row of nothing but placeholders."""
    features = extractor([waveform], sampling_rate=extractor.sampling_rate, return_tensors="pt")
    size = int(features["audio_embed_sizes"][0])
    weight = model.get_input_embeddings().weight
    placeholders = weight.new_full((1, size), model.config.audio_config.audio_token_id, dtype=int)
    embeddings: Tensor = model.model.embed_tokens_extend.audio_embed(
        placeholders,
        weight.new_zeros((1, size, weight.shape[1])),
        audio_input_features=features["audio_input_features"],
        audio_embed_sizes=[size],
        audio_projection_mode="speech",
    )[0]
    return embeddings


PHI_4_MULTIMODAL = Family(
    name="Phi-4-multimodal",
    models=("microsoft/Phi-4-multimodal-instruct",),
    model_types=("phi4_multimodal",),
    model_class="Phi4MultimodalForCausalLM",
    audio_token="<|audio|>",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("<|end|>", "<|endoftext|>"),
    audio_in_text=True,
    encoder_module="audio_embed",
    decoder_module="model",
    lora_targets=("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    max_audio_s=40,
    min_samples=400,
    own_adapter="speech-lora",
    hear=hear,
    vllm_lora="no",
    template_source="the chat template of microsoft/Phi-4-multimodal-instruct (<|user|><|audio|>…<|end|><|assistant|>)",
    lora_source="the fused projections that its own speech LoRA adapts (arXiv 2503.01743, section 2.2)",
    window_source="40 s, which the model card suggests for speech tasks other than summaries",
    verified="random-init",
    remark="Needs the revision whose model_type is phi4_multimodal (refs/pr/70); the main one, which vLLM serves, runs "
    "code of its own.",
)
