"""Qwen2.5-Omni's thinker (arXiv 2503.20215), the half of it that hears and writes; the talker is never loaded.

With audio and text alone its multimodal rotary positions are plain positions in all three rows, so the language model
is given plain ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lalm.families.base import Family

if TYPE_CHECKING:
    from torch import Tensor

HOP_SAMPLES = 160
MARGIN_SAMPLES = 8 * HOP_SAMPLES
"""The processor pads to 300 s; the last frames' spectrogram sees no further than this much of that silence."""


def hear(model: Any, extractor: Any, waveform: NDArray[np.float32]) -> Tensor:
    """The thinker's audio features; its encoder attends within 2 s blocks and skips the padding."""
    padded = -(-len(waveform) // HOP_SAMPLES) * HOP_SAMPLES + MARGIN_SAMPLES
    features = extractor(
        waveform,
        sampling_rate=extractor.sampling_rate,
        padding="max_length",
        max_length=min(padded, extractor.n_samples),
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


QWEN2_5_OMNI = Family(
    name="Qwen2.5-Omni (thinker)",
    models=("Qwen/Qwen2.5-Omni-7B", "Qwen/Qwen2.5-Omni-3B"),
    model_types=("qwen2_5_omni", "qwen2_5_omni_thinker"),
    model_class="Qwen2_5OmniThinkerForConditionalGeneration",
    audio_token="<|AUDIO|>",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("<|im_end|>", "<|endoftext|>"),
    encoder_module="audio_tower",
    decoder_module="model",
    max_audio_s=300,
    hear=hear,
    vllm_lora="unverified",
    template_source="chat_template.json of Qwen/Qwen2.5-Omni-7B (ChatML, <|audio_bos|><|AUDIO|><|audio_eos|>)",
    lora_source="every linear projection of the Qwen2.5 decoder, as QLoRA (arXiv 2305.14314) recommends",
    window_source="chunk_length of its feature extractor; longer audio is cut by the processor",
    verified="random-init",
    remark="Only the audio side of its processor is loaded, so torchvision is not needed.",
)
