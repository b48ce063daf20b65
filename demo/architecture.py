"""The micro LALM before training: configuration, tokenizer, chat template, processor, random weights.

It has the shape of Qwen2-Audio (head size 64, untied embeddings, a window of whole seconds, a vocabulary
padded to a multiple of 64) so that every engine that runs Qwen2-Audio runs it.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from demo.dice import Dice
from demo.grammar import make_sentence
from demo.model import PROMPT_TEXT

WINDOW_S = 8
POSITIONS_PER_S = 50
NUM_MELS = 80
VOCABULARY_SIZE = 1024
MAX_TEXT_POSITIONS = 512
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|audio_bos|>",
    "<|AUDIO|>",
    "<|audio_eos|>",
)

CHAT_TEMPLATE = (
    "{% set audio_count = namespace(value=0) %}"
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n"
    "{% else %}"
    "{% for content in message['content'] %}"
    "{% if 'audio' in content or 'audio_url' in content or content['type'] == 'audio' %}"
    "{% set audio_count.value = audio_count.value + 1 %}"
    "Audio {{ audio_count.value }}: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
    "{% elif 'text' in content %}"
    "{{ content['text'] }}"
    "{% endif %}"
    "{% endfor %}"
    "<|im_end|>\n"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "<|im_start|>assistant\n"
    "{% endif %}"
)


def user_turn() -> list[dict[str, object]]:
    """The conversation that asks for a translation: one audio, then the instruction."""
    return [{"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": PROMPT_TEXT}]}]


def text_of_language(num_sentences: int = 6000, seed: int = 7) -> Iterator[str]:
    """Training sentences in both languages and the words of the prompt, for the tokenizer."""
    for index in range(num_sentences):
        sentence = make_sentence(Dice(f"{seed}/tokenizer-{index:06d}"), "train")
        yield " ".join(sentence.words)
        yield from (" ".join(rendering.words) for rendering in sentence.renderings)
        if index % 10 == 0:
            yield f"user\nAudio 1: {PROMPT_TEXT}\nassistant\n"


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE with the special tokens of Qwen2-Audio."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",  # noqa: S106 - a vocabulary entry, no secret
        pad_token="<|endoftext|>",  # noqa: S106 - a vocabulary entry, no secret
        padding_side="left",
        extra_special_tokens={
            "audio_bos_token": "<|audio_bos|>",
            "audio_token": "<|AUDIO|>",
            "audio_eos_token": "<|audio_eos|>",
        },
        model_max_length=MAX_TEXT_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def make_processor(tokenizer: PreTrainedTokenizerFast) -> Qwen2AudioProcessor:
    """The processor that turns a conversation and audio into model inputs."""
    extractor = WhisperFeatureExtractor(
        chunk_length=WINDOW_S, feature_size=NUM_MELS, sampling_rate=16_000, return_attention_mask=True
    )
    return Qwen2AudioProcessor(extractor, tokenizer, chat_template=CHAT_TEMPLATE)


def make_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2AudioConfig:
    """About 3.3 M parameters: 4 encoder layers of width 160, 3 decoder layers of width 192."""
    audio = Qwen2AudioEncoderConfig(
        num_mel_bins=NUM_MELS,
        d_model=160,
        encoder_layers=4,
        encoder_attention_heads=5,
        encoder_ffn_dim=640,
        max_source_positions=WINDOW_S * POSITIONS_PER_S,
    )
    text = Qwen2Config(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=MAX_TEXT_POSITIONS,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2AudioConfig(
        audio_config=audio.to_dict(),
        text_config=text.to_dict(),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
        tie_word_embeddings=False,
    )


def sinusoids(length: int, channels: int) -> torch.Tensor:
    """Whisper's fixed positions: [length, channels]."""
    step = math.log(10_000) / (channels // 2 - 1)
    inverse = torch.exp(-step * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * inverse[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def make_model(processor: Qwen2AudioProcessor, seed: int = 7) -> Qwen2AudioForConditionalGeneration:
    """Random weights in fp32, the encoder's positions as in Whisper."""
    torch.manual_seed(seed)
    tokenizer = processor.tokenizer
    model = Qwen2AudioForConditionalGeneration(make_config(tokenizer))
    positions = model.model.audio_tower.embed_positions.weight
    positions.data.copy_(0.5 * sinusoids(*positions.shape))
    generation = model.generation_config
    generation.eos_token_id, generation.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    generation.bos_token_id, generation.do_sample, generation.max_new_tokens = None, False, 80
    return model


def save(model: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor, directory: Path) -> None:
    """Store in half precision; the fp32 model in memory is left as it is."""
    directory.mkdir(parents=True, exist_ok=True)
    half = {name: tensor.to(torch.float16) for name, tensor in model.state_dict().items()}
    model.config.dtype = torch.float16
    model.save_pretrained(directory, state_dict=half)
    processor.save_pretrained(directory)
