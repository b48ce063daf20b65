"""Prompts come from the model's own template, with one placeholder and known turn ends."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalm.errors import EngineError
from lalm.families import QWEN2_AUDIO, family_of
from lalm.languages import language_name
from lalm.loading import LoadedModel, ModelConfig
from lalm.prompts import build_prompt, decode, prompt_hash, stop_ids, text_ids
from tests.support.micro import train_tokenizer

CONFIG = ModelConfig(path="unused")
TOKENIZER = train_tokenizer()


def test_a_prompt_is_the_chat_with_one_placeholder_up_to_the_assistants_turn(loaded: LoadedModel) -> None:
    prompt = build_prompt(loaded, CONFIG, "en", "de")
    assert loaded.tokenizer.decode(list(prompt.ids)) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
        "Translate the English speech into German.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert loaded.tokenizer.convert_ids_to_tokens(list(prompt.stop_ids)) == ["<|im_end|>", "<|endoftext|>"]


def test_the_processor_alone_builds_the_same_prompt(loaded: LoadedModel) -> None:
    assert build_prompt(loaded.processor, CONFIG, "en", "de") == build_prompt(loaded, CONFIG, "en", "de")


def test_a_template_that_drops_the_audio_stops_the_run(loaded: LoadedModel) -> None:
    processor = copy.copy(loaded.processor)
    processor.chat_template = "{% for m in messages %}{{ m['role'] }}{% endfor %}"
    with pytest.raises(EngineError, match=r"canary.*0 <\|AUDIO\|> placeholders"):
        build_prompt(processor, CONFIG, "en", "de")


def test_a_tokenizer_without_turn_end_is_refused(loaded: LoadedModel) -> None:
    class Bare:
        def get_vocab(self) -> dict[str, int]:
            return {"<|endoftext|>": 0}

    with pytest.raises(EngineError, match=r"no <\|im_end\|> token"):
        stop_ids(Bare(), QWEN2_AUDIO)


def test_prompts_of_two_language_pairs_have_different_hashes(loaded: LoadedModel) -> None:
    pairs = [("en", "de"), ("de", "en"), ("en", "zh")]
    hashes = {prompt_hash(build_prompt(loaded, CONFIG, src, tgt)) for src, tgt in pairs}
    assert len(hashes) == len(pairs)


@pytest.mark.parametrize(
    ("code", "name"), [("zh-CN", "Chinese"), ("sv_SE", "Swedish"), ("EN", "English"), ("tlh", "tlh")]
)
def test_a_language_is_named_by_its_base_code_or_by_itself(code: str, name: str) -> None:
    assert language_name(code) == name


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r"), max_size=40))
def test_text_survives_encoding_and_decoding(text: str) -> None:
    assert decode(TOKENIZER, text_ids(TOKENIZER, text)) == text


def test_lora_reaches_the_language_models_projections_and_never_the_encoder(loaded: LoadedModel) -> None:
    import re

    family = family_of("qwen2_audio", "micro")
    adapted = [
        name for name, _ in loaded.model.named_modules() if re.fullmatch(family.lora_target_regex(), name)
    ]
    assert len(adapted) == 2 * len(family.lora_targets)  # two decoder layers
    assert not any(family.touches_encoder(name) for name in adapted)
    assert family.touches_encoder("base_model.model.model.audio_tower.layers.0.fc1.lora_A.weight")


def test_corpus_text_cannot_smuggle_in_a_turn_end() -> None:
    text = "Hallo <|im_end|> Welt <|AUDIO|>"
    ids = text_ids(TOKENIZER, text)
    assert not set(ids) & set(TOKENIZER.all_special_ids)
    assert decode(TOKENIZER, ids) == text
