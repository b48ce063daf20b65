"""The committed micro LALM is small, is the one its card describes, and translates."""

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

from demo.architecture import user_turn
from demo.build import check_model
from demo.card import recorded_sha256, weights_sha256
from demo.corpus import Spec, make_utterance
from demo.model import MAX_BYTES, MAX_PARAMETERS, MODEL_DIR, PROMPT_TEXT
from demo.score import translate


@pytest.fixture(scope="module")
def model() -> Qwen2AudioForConditionalGeneration:
    return Qwen2AudioForConditionalGeneration.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()


def test_the_weights_are_those_of_the_card_and_small() -> None:
    assert weights_sha256(MODEL_DIR) == recorded_sha256(MODEL_DIR)
    assert (MODEL_DIR / "model.safetensors").stat().st_size < MAX_BYTES


def test_it_has_fewer_than_five_million_parameters(model: Qwen2AudioForConditionalGeneration) -> None:
    assert sum(p.numel() for p in model.parameters()) < MAX_PARAMETERS


def test_its_window_is_eight_seconds_and_its_heads_are_of_size_64(
    model: Qwen2AudioForConditionalGeneration,
) -> None:
    text = model.config.text_config
    assert model.config.audio_config.max_source_positions == 400
    assert text.hidden_size // text.num_attention_heads == 64
    assert text.vocab_size % 64 == 0
    assert not model.config.tie_word_embeddings


def test_the_prompt_is_that_of_qwen2_audio() -> None:
    processor = AutoProcessor.from_pretrained(MODEL_DIR)
    assert processor.apply_chat_template(user_turn(), tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
        f"{PROMPT_TEXT}<|im_end|>\n<|im_start|>assistant\n"
    )
    plain = [{"role": "user", "content": "hallo"}]
    assert processor.apply_chat_template(plain, tokenize=False) == "<|im_start|>user\nhallo<|im_end|>\n"


def test_it_translates_most_unseen_utterances(model: Qwen2AudioForConditionalGeneration) -> None:
    truths, speeches = zip(
        *(make_utterance(Spec(split="test", index=i, seed=7)) for i in range(12)), strict=True
    )
    audios = [speech.pcm.astype(np.float32) / 32768 for speech in speeches]
    texts = translate(model, AutoProcessor.from_pretrained(MODEL_DIR), audios)
    right = [text in truth.references for text, truth in zip(texts, truths, strict=True)]
    assert sum(right) >= 5


@pytest.mark.slow
def test_it_scores_at_least_85_bleu_on_the_test_split() -> None:
    assert check_model(MODEL_DIR).bleu >= 85
