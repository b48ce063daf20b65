"""Granite Speech (arXiv 2505.08699): a conformer and a query transformer, 10 positions a second, over a Granite LLM.

Its released weights come with a LoRA that is meant to be on whenever there is audio. There always is, so it is merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lalm.families.base import Family

if TYPE_CHECKING:
    from torch import Tensor


def hear(model: Any, extractor: Any, waveform: NDArray[np.float32]) -> Tensor:
    """The projected queries of one audio; one at a time, for a neighbour's padding would be heard."""
    features = extractor(waveform)
    projected = model.get_audio_features(
        features["input_features"].to(model.device, model.dtype), return_dict=True
    ).pooler_output  # (1, positions, width)
    embeddings: Tensor = projected[0, : features["audio_embed_sizes"][0]]
    return embeddings


GRANITE_SPEECH = Family(
    name="Granite Speech",
    models=("ibm-granite/granite-speech-3.3-2b", "ibm-granite/granite-speech-3.3-8b"),
    model_types=("granite_speech",),
    model_class="GraniteSpeechForConditionalGeneration",
    audio_token="<|audio|>",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("<|end_of_text|>",),
    audio_in_text=True,
    encoder_module="encoder",
    projector_module="projector",
    decoder_module="model.language_model",
    max_audio_s=300,
    own_adapter=".",
    hear=hear,
    needs=("torchaudio",),
    vllm_lora="unverified",
    template_source="the chat template of ibm-granite/granite-speech-3.3-8b; its card writes <|audio|> into the text",
    lora_source="every linear projection of the Granite decoder, as QLoRA (arXiv 2305.14314) recommends",
    window_source="a bound of ours: neither card nor configuration states one",
    verified="random-init",
    remark="Its released LoRA is merged into the weights at loading.",
)
