"""Gemma 3n: always 188 audio positions for up to 30 s, and a language model that looks at token ids in every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lalm.families.base import Family

if TYPE_CHECKING:
    from torch import Tensor


def hear(model: Any, extractor: Any, waveform: NDArray[np.float32]) -> Tensor:
    """The audio tower's positions, filled up to the family's fixed number as its own forward does.

    The filling is the embedding of the last entry of the vocabulary; positions that the tower masks become it, too.
    """
    core = model.model
    features = extractor([waveform], return_tensors="pt")
    valid = features["input_features_mask"].to(model.device)
    heard = core.get_audio_features(
        features["input_features"].to(model.device, model.dtype), ~valid, return_dict=True
    )
    last_id = valid.new_full((1, 1), core.vocab_size - 1, dtype=int)
    filling = core.embed_audio(input_ids=last_id)[0]  # (1, width)
    audible = heard.pooler_output[0].where(~heard.audio_mel_mask[0, :, None], filling)  # (positions, width)
    embeddings: Tensor = filling.repeat(model.config.audio_soft_tokens_per_image, 1)
    return embeddings.slice_scatter(audible, end=len(audible))


def embed(model: Any, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Text embeddings, the hard embeddings of the tokens that frame audio, and the inputs of every layer."""
    core = model.model
    decoder, audio = core.language_model, core.embed_audio
    framing = ids >= audio.vocab_offset
    hard = audio(input_ids=ids.where(framing, audio.vocab_offset))
    embeddings = hard.where(framing[..., None], decoder.get_input_embeddings()(ids))
    known = ids.where(ids < core.vocab_size_per_layer_input, 0)
    return embeddings, {"per_layer_inputs": decoder.get_per_layer_inputs(known)}


GEMMA_3N = Family(
    name="Gemma 3n",
    models=("google/gemma-3n-E2B-it", "google/gemma-3n-E4B-it"),
    model_types=("gemma3n",),
    model_class="Gemma3nForConditionalGeneration",
    audio_token="<audio_soft_token>",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("<end_of_turn>", "<eos>"),
    placeholder="\n\n<start_of_audio>{audio}<end_of_audio>\n\n",
    encoder_module="audio_tower",
    projector_module="embed_audio",
    decoder_module="model.language_model",
    max_audio_s=30,
    min_samples=769,
    hear=hear,
    embed=embed,
    released_sampling=(("top_k", 64), ("top_p", 0.95)),
    needs=("timm", "torchvision"),
    vllm_lora="no",
    template_source="the chat template of google/gemma-3n-E4B-it; Gemma3nProcessor frames the audio",
    lora_source="every linear projection of the Gemma decoder, as QLoRA (arXiv 2305.14314) recommends",
    window_source="Gemma3nProcessor: 30 s become 188 positions",
    verified="random-init",
    remark="timm builds its picture tower, which loading needs and hearing does not.",
)
