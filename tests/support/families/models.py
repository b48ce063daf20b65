"""Builders: each saves a tiny random model of one family with its tokenizer and features, as the family is released."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from tests.support.families.tekken import write_tekken
from tests.support.micro import MEL_BINS, SPECIAL_TOKENS, TURN_END_GAIN, spread, train_tokenizer

WIDTH = 64
TEXT = {
    "hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 1024, "bos_token_id": None,
}  # fmt: skip
WHISPER = {
    "num_mel_bins": MEL_BINS, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64,
    "d_model": WIDTH,
}  # fmt: skip
PICTURES = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "out_hidden_size": WIDTH}
MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}"
    "{% if part.type == 'audio' %}AUDIO{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PHI = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
GRANITE = (
    "{% for m in messages %}{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"
)
GEMMA = (
    "<bos>{% for m in messages %}<start_of_turn>{{ m.role }}\n{% for part in m.content %}"
    "{% if part.type == 'audio' %}<audio_soft_token>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def qwen2_5_omni(directory: Path) -> None:
    tokenizer = train_tokenizer()
    audio_id = tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    config = transformers.Qwen2_5OmniThinkerConfig(
        audio_config=WHISPER | {"output_dim": WIDTH, "n_window": 100},
        vision_config=PICTURES | {"fullatt_block_indexes": [0]},
        text_config=_text(tokenizer) | {"rope_parameters": MROPE},
        audio_token_index=audio_id,
        image_token_index=900, video_token_index=901, vision_start_token_id=902,
    )  # fmt: skip
    model = _random(
        transformers.Qwen2_5OmniThinkerForConditionalGeneration, config, tokenizer.eos_token_id, audio_id
    )
    _save_thinker(directory, model, "qwen2_5_omni", tokenizer, "<|audio_bos|><|AUDIO|><|audio_eos|>")


def qwen3_omni(directory: Path) -> None:
    special = (*SPECIAL_TOKENS[:3], "<|audio_pad|>", "<|audio_start|>", "<|audio_end|>")
    tokenizer = train_tokenizer(special=special)
    audio_id = tokenizer.convert_tokens_to_ids("<|audio_pad|>")
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 32}
    config = transformers.Qwen3OmniMoeThinkerConfig(
        audio_config=WHISPER | {"output_dim": WIDTH, "downsample_hidden_size": 8, "max_source_positions": 100},
        vision_config=PICTURES | {"deepstack_visual_indexes": [0], "num_position_embeddings": 16},
        text_config=_text(tokenizer) | experts | {"rope_parameters": MROPE},
        audio_token_id=audio_id,
        image_token_id=900, video_token_id=901, vision_start_token_id=902,
    )  # fmt: skip
    model = _random(
        transformers.Qwen3OmniMoeThinkerForConditionalGeneration, config, tokenizer.eos_token_id, audio_id
    )
    _save_thinker(directory, model, "qwen3_omni_moe", tokenizer, "<|audio_start|><|audio_pad|><|audio_end|>")


def voxtral(directory: Path) -> None:
    vocab_size = write_tekken(directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    turn_end_id, audio_id = tokenizer.convert_tokens_to_ids(["</s>", "[AUDIO]"])
    config = transformers.VoxtralConfig(
        audio_config={
            "num_mel_bins": MEL_BINS, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32,
            "intermediate_size": 128,
        },
        text_config=TEXT | {"vocab_size": vocab_size, "head_dim": 32, "eos_token_id": turn_end_id, "rope_theta": 1e4},
        audio_token_id=audio_id,
    )  # fmt: skip
    model = _random(transformers.VoxtralForConditionalGeneration, config, turn_end_id, audio_id)
    model.save_pretrained(directory)
    features = transformers.WhisperFeatureExtractor(feature_size=MEL_BINS)
    transformers.VoxtralProcessor(features, tokenizer).save_pretrained(directory)


def granite_speech(directory: Path) -> None:
    special = ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|audio|>")
    tokenizer = train_tokenizer(special=special, turn_end="<|end_of_text|>")
    audio_id = tokenizer.convert_tokens_to_ids("<|audio|>")
    config = transformers.GraniteSpeechConfig(
        encoder_config={
            "input_dim": 160, "num_layers": 2, "hidden_dim": 32, "num_heads": 2, "context_size": 50, "max_pos_emb": 64,
            "output_dim": 8,
        },
        projector_config={
            "model_type": "blip_2_qformer", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 32, "encoder_hidden_size": 32,
        },
        text_config=_text(tokenizer) | {"model_type": "granite", "embedding_multiplier": 2.0},
        audio_token_index=audio_id,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = _random(
        transformers.GraniteSpeechForConditionalGeneration, config, tokenizer.eos_token_id, audio_id
    )
    _save(directory, model, tokenizer, GRANITE, transformers.GraniteSpeechFeatureExtractor())
    _save_own_adapter(model, directory, r".*language_model\.layers\.\d+\.self_attn\.(q|v)_proj")


def phi4_multimodal(directory: Path) -> None:
    special = ("<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>", "<|audio|>", "<|image|>")
    tokenizer = train_tokenizer(special=special, turn_end="<|end|>")
    audio_id = tokenizer.convert_tokens_to_ids("<|audio|>")
    small = {"intermediate_size": 32, "num_attention_heads": 2}
    channels = ("hidden_size", "ext_pw_out_channel", "depthwise_separable_out_channel", "nemo_conv_channels")
    config = transformers.Phi4MultimodalConfig(
        **_text(tokenizer) | {"original_max_position_embeddings": 1024},
        audio_config=small | dict.fromkeys(channels, 32)
        | {"num_blocks": 2, "audio_token_id": audio_id},
        vision_config=small
        | {"hidden_size": 16, "num_hidden_layers": 2, "image_size": 28, "crop_size": 28,
           "image_token_id": tokenizer.convert_tokens_to_ids("<|image|>")},
    )  # fmt: skip
    model = _random(transformers.Phi4MultimodalForCausalLM, config, tokenizer.eos_token_id, audio_id)
    _save(directory, model, tokenizer, PHI, transformers.Phi4MultimodalFeatureExtractor())
    _save_own_adapter(model, directory / "speech-lora", r"model\.layers\.\d+\..*\.(qkv_proj|down_proj)")


def gemma3n(directory: Path) -> None:
    special = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_audio>")
    late = ("<image_soft_token>", "<end_of_audio>", "<audio_soft_token>")
    tokenizer = train_tokenizer(special=special, turn_end="<end_of_turn>")
    num_text = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": [*special, *late]})
    image_id, end_id, audio_id = tokenizer.convert_tokens_to_ids(list(late))
    text = _text(tokenizer) | {
        "vocab_size": num_text + 8, "vocab_size_per_layer_input": num_text, "head_dim": 32, "num_hidden_layers": 4,
        "hidden_size_per_layer_input": 16, "num_kv_shared_layers": 2, "laurel_rank": 8, "sliding_window": 32,
        "layer_types": ["sliding_attention", "full_attention"] * 2, "altup_num_inputs": 2,
        "activation_sparsity_pattern": [0.5, 0.5, 0.0, 0.0], "tie_word_embeddings": False,
    }  # fmt: skip
    config = transformers.Gemma3nConfig(
        text_config=text,
        audio_config={
            "vocab_size": 7, "vocab_offset": num_text + 1, "hidden_size": 32, "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 2, "sscp_conv_channel_size": [8, 4],
        },
        vision_config={"vocab_size": 1, "vocab_offset": num_text, "hidden_size": 16},
        image_token_id=image_id, eoa_token_id=end_id, audio_token_id=audio_id, tie_word_embeddings=False,
        boi_token_id=None, eoi_token_id=None, boa_token_id=None,
    )  # fmt: skip
    model = _random(transformers.Gemma3nForConditionalGeneration, config, tokenizer.eos_token_id, audio_id)
    for layer in model.model.language_model.layers:
        layer.altup.correct_output_scale.data.fill_(
            1.0
        )  # a fresh one is zero, and no layer hears its own inputs
    _save(directory, model, tokenizer, GEMMA, transformers.Gemma3nAudioFeatureExtractor())


def _text(tokenizer: Any) -> dict[str, Any]:
    return TEXT | {
        "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip


def _random(model_class: Any, config: Any, turn_end_id: int, audio_id: int) -> Any:
    """A model that ends some turns early and never says the placeholder, which no own `generate` survives."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config).eval()
        spread(model)
        model.lm_head.weight.data[turn_end_id] *= TURN_END_GAIN
        model.lm_head.weight.data[audio_id] = 0
    return model


def _save(directory: Path, model: Any, tokenizer: Any, template: str | None, features: Any) -> None:
    tokenizer.chat_template = template
    for part in (model, tokenizer, features):
        part.save_pretrained(directory)


def _save_thinker(directory: Path, model: Any, model_type: str, tokenizer: Any, audio: str) -> None:
    """As released: the thinker is a part of configuration and weights, the template a file of the processor."""
    features = transformers.WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=300)
    _save(directory, model, tokenizer, None, features)
    (directory / "chat_template.json").write_text(
        json.dumps({"chat_template": CHATML.replace("AUDIO", audio)})
    )
    config, weights = directory / "config.json", directory / "model.safetensors"
    whole = {"model_type": model_type, "thinker_config": json.loads(config.read_text())}
    config.write_text(json.dumps(whole))
    thinker = {f"thinker.{name}": tensor for name, tensor in load_file(weights).items()}
    save_file(thinker, weights, metadata={"format": "pt"})


def _save_own_adapter(model: Any, directory: Path, targets: str) -> None:
    wrapper = get_peft_model(model, LoraConfig(r=2, target_modules=targets))
    generator = torch.Generator().manual_seed(5)
    for name, parameter in wrapper.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    wrapper.save_pretrained(directory)
