"""What a family's own processor makes of an instruction and an audio: nothing of ours but the chat template's text."""

from __future__ import annotations

import base64
import io
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile
import transformers
from numpy.typing import NDArray

from lalm.loading import LoadedModel

BLIND = SimpleNamespace(merge_size=2)
"""In the place of the parts of a processor that see."""


def omni(
    processor_class: Any, loaded: LoadedModel, instruction: str, waveform: NDArray[np.float32]
) -> dict[str, Any]:
    names = ("image", "video", "vision_bos", "vision_eos", "audio_bos", "audio_eos")
    _name_tokens(loaded, {name: f"<{name}>" for name in names} | {"audio": loaded.info.family.audio_token})
    processor = _seeing_nothing(processor_class)(
        BLIND, BLIND, loaded.processor.feature_extractor, loaded.tokenizer
    )
    return _called(loaded, processor, instruction, audio=[waveform], sampling_rate=16_000)


qwen2_5_omni = partial(omni, transformers.Qwen2_5OmniProcessor)
qwen3_omni = partial(omni, transformers.Qwen3OmniMoeProcessor)


def granite_speech(loaded: LoadedModel, instruction: str, waveform: NDArray[np.float32]) -> dict[str, Any]:
    processor = transformers.GraniteSpeechProcessor(loaded.processor.feature_extractor, loaded.tokenizer)
    return _called(loaded, processor, instruction, audio=[waveform])


def phi4_multimodal(loaded: LoadedModel, instruction: str, waveform: NDArray[np.float32]) -> dict[str, Any]:
    _name_tokens(loaded, {"image": "<|image|>", "audio": "<|audio|>"})
    processor = _seeing_nothing(transformers.Phi4MultimodalProcessor)(
        BLIND, loaded.processor.feature_extractor, loaded.tokenizer
    )
    return _called(loaded, processor, instruction, audio=[waveform], sampling_rate=16_000)


def gemma3n(loaded: LoadedModel, instruction: str, waveform: NDArray[np.float32]) -> dict[str, Any]:
    pictures = dict.fromkeys(("image", "boi", "eoi"), "<image_soft_token>")
    audio = {"audio": "<audio_soft_token>", "boa": "<start_of_audio>", "eoa": "<end_of_audio>"}
    _name_tokens(loaded, pictures | audio)
    processor = _seeing_nothing(transformers.Gemma3nProcessor)(
        loaded.processor.feature_extractor, BLIND, loaded.tokenizer
    )
    return _called(loaded, processor, instruction, audio=[waveform])


def voxtral(loaded: LoadedModel, instruction: str, waveform: NDArray[np.float32]) -> dict[str, Any]:
    file = io.BytesIO()
    soundfile.write(file, waveform, 16_000, format="WAV", subtype="FLOAT")
    audio = {"type": "audio", "base64": base64.b64encode(file.getvalue()).decode()}
    turn = {"role": "user", "content": [audio, {"type": "text", "text": instruction}]}
    return dict(loaded.processor.apply_chat_template([turn]))


def _name_tokens(loaded: LoadedModel, tokens: dict[str, str]) -> None:
    """Give the tokenizer the attributes that a released one has from its configuration."""
    for name, token in tokens.items():
        setattr(loaded.tokenizer, f"{name}_token", token)
        setattr(loaded.tokenizer, f"{name}_token_id", loaded.tokenizer.convert_tokens_to_ids(token))


def _seeing_nothing(processor_class: Any) -> Any:
    """The processor class, taking a stand-in for the parts of it that see."""
    changes = {"check_argument_for_proper_class": lambda *_: object}
    return type(processor_class.__name__, (processor_class,), changes)


def _called(loaded: LoadedModel, processor: Any, instruction: str, **audio: Any) -> dict[str, Any]:
    family = loaded.info.family
    parts = [{"type": "audio"}, {"type": "text", "text": instruction}]
    content = family.audio_token + instruction if family.audio_in_text else parts
    text = loaded.processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    return dict(processor(text=[text], return_tensors="pt", **audio))
