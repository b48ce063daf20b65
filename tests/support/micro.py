"""A random micro LALM: a real Qwen2-Audio of some 0.2 M parameters, built in under a second and saved like any other.

It knows nothing, which is what tests of plumbing need: every code path of the real model, and outputs that depend on
every input. `random_waveform` gives audio that two calls never mix up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
)
GERMAN = (
    "Wir werden morgen in Berlin die alte Brücke besuchen.",
    "Der Mann, den sie gestern gesehen hat, kauft heute zwei Äpfel.",
    "Ich glaube, dass das Wetter schön bleibt, aber der Zug fährt nicht ab.",
    "Sie möchte nächste Woche ihre Freunde in Köln treffen.",
    "Translate the English speech into German. You are a helpful assistant. system user assistant Audio 1:",
)
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
MEL_BINS = 16
TURN_END_GAIN = 1.3
"""Some turns end within ten tokens and others run into a cap, so that tests meet both."""


def train_tokenizer(
    texts: tuple[str, ...] = GERMAN,
    vocab_size: int = 448,
    *,
    special: tuple[str, ...] = SPECIAL_TOKENS,
    turn_end: str = "<|im_end|>",
) -> PreTrainedTokenizerFast:
    """A byte-level BPE with Qwen2's word splitting, trained on `texts`; `special` has its padding first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern=Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=turn_end,
        pad_token=special[0],
        additional_special_tokens=list(special[1:]),
    )


def random_micro_lalm(directory: Path, seed: int = 0, window_s: int = 4) -> Path:
    """Save a randomly initialised Qwen2-Audio with tokenizer and processor below `directory` and return it.

    Two encoder and two decoder layers of width 64; `window_s` whole seconds of audio (25 positions each).
    """
    tokenizer = train_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2AudioForConditionalGeneration(_config(tokenizer, window_s))
        spread(model)
        model.lm_head.weight.data[tokenizer.convert_tokens_to_ids("<|im_end|>")] *= TURN_END_GAIN
    model.save_pretrained(directory)
    features = WhisperFeatureExtractor(
        feature_size=MEL_BINS, chunk_length=window_s, return_attention_mask=True
    )
    Qwen2AudioProcessor(features, tokenizer).save_pretrained(directory)
    return directory


def random_waveform(seed: int, num_samples: int = 16_000) -> NDArray[np.float32]:
    """A chord on the int16 grid at 16 kHz, shape (num_samples,), whose pitch and envelope depend on `seed`."""
    rng = np.random.default_rng(seed)
    t = np.arange(num_samples) / 16_000
    tones = sum(np.sin(2 * np.pi * f * t * (1 + 0.1 * t)) for f in rng.uniform(120, 3000, size=3))
    noise = rng.normal(scale=0.3, size=num_samples)
    return (np.round((tones + noise) * 4_000).clip(-32_768, 32_767) / 32_768).astype(np.float32)


def _config(tokenizer: PreTrainedTokenizerFast, window_s: int) -> Qwen2AudioConfig:
    return Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": MEL_BINS,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "d_model": 64,
            "max_source_positions": 50 * window_s,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
            "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        },
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
        tie_word_embeddings=False,
    )


def spread(model: torch.nn.Module) -> None:
    """Scale the weights so that attention and outputs vary with the input instead of staying near uniform."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            fan_in = parameter.shape[1]
            scale = 1.0 if "embed" in name else 1.6 / fan_in**0.5
            parameter.data = torch.randn_like(parameter) * scale
