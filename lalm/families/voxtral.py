"""Voxtral (arXiv 2507.13264): Whisper chunks of 30 s, padded with silence, 375 positions each; Mistral's tokenizer."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from lalm.families.base import Family

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_SAMPLES = 480_000
CHUNK_FRAMES = 3_000


def hear(model: Any, extractor: Any, waveform: NDArray[np.float32]) -> Tensor:
    """The projected chunks one after the other, (375 x chunks, width); the silence of the last one is heard too."""
    features = extractor(
        waveform,
        sampling_rate=extractor.sampling_rate,
        padding=True,
        truncation=False,
        pad_to_multiple_of=CHUNK_SAMPLES,
        return_tensors="pt",
    )["input_features"]
    in_rows = features.reshape(features.shape[1], -1, CHUNK_FRAMES)
    chunks = in_rows.transpose(0, 1).to(model.device, model.dtype)  # (chunks, mel bins, frames)
    embeddings: Tensor = model.get_audio_features(chunks, return_dict=True).pooler_output
    return embeddings


def render(processor: Any, instruction: str) -> tuple[int, ...]:
    """Mistral's instruction format, which exists only as ids: a breath of silence is sent, its run made one."""
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(1_600, dtype=np.float32), 16_000, format="WAV")
    audio = {"type": "audio", "base64": base64.b64encode(silence.getvalue()).decode()}
    turn = {"role": "user", "content": [audio, {"type": "text", "text": instruction}]}
    ids = processor.apply_chat_template([turn])["input_ids"][0].tolist()
    first, count = ids.index(processor.audio_token_id), ids.count(processor.audio_token_id)
    return (*ids[:first], *ids[first + count - 1 :])


VOXTRAL = Family(
    name="Voxtral",
    models=("mistralai/Voxtral-Mini-3B-2507", "mistralai/Voxtral-Small-24B-2507"),
    model_types=("voxtral",),
    model_class="VoxtralForConditionalGeneration",
    processor_class="VoxtralProcessor",
    audio_token="[AUDIO]",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("</s>",),
    encoder_module="audio_tower",
    projector_module="multi_modal_projector",
    decoder_module="model.language_model",
    max_audio_s=1_800,
    hear=hear,
    render=render,
    needs=("mistral_common",),
    vllm_lora="unverified",
    template_source="mistral-common's instruction tokenizer over the model's own tekken.json",
    lora_source="every linear projection of the Mistral decoder, as QLoRA (arXiv 2305.14314) recommends",
    window_source="30 minutes of audio, the model card's figure for transcription",
    verified="random-init",
)
