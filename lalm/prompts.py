"""Prompts are built here and nowhere else, from the model's own chat template, and travel as token ids.

So generation, training and evaluation cannot drift apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lalm.errors import EngineError
from lalm.families import FAMILIES, Family
from lalm.languages import language_name
from lalm.loading import HearingProcessor, LoadedModel, ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A user turn with exactly one audio placeholder, up to where the assistant speaks; and what ends its turn.

    `stop_ids[0]` is the turn end: the token a training example carries after the target.
    """

    ids: tuple[int, ...]
    stop_ids: tuple[int, ...]


def build_prompt(source: LoadedModel | Any, config: ModelConfig, src_lang: str, tgt_lang: str) -> Prompt:
    """The prompt for one language pair; `source` is a LoadedModel or its processor.

    Raises EngineError unless the template's output holds exactly one audio placeholder (a canary: a library
    release once dropped it silently, and the model then translated nothing it had heard).
    """
    processor = source.processor if isinstance(source, LoadedModel) else source
    family = source.info.family if isinstance(source, LoadedModel) else _family_of_processor(processor)
    instruction = config.instruction.format(src=language_name(src_lang), tgt=language_name(tgt_lang))
    ids = (family.render or partial(_render, family))(processor, instruction)
    audio_id = audio_token_id(processor.tokenizer, family)
    if ids.count(audio_id) != 1:
        raise EngineError(
            f"prompt canary: the chat template gave {ids.count(audio_id)} {family.audio_token} placeholders, "
            f"expected exactly 1 for one audio; template of: {family.template_source}. Check the processor's "
            "chat template and the transformers version (pyproject.toml names the tested range)"
        )
    return Prompt(ids=ids, stop_ids=stop_ids(processor.tokenizer, family))


def prompt_hash(prompt: Prompt) -> str:
    """sha256 of a prompt's ids and stop ids: equal hashes ask the model the same thing."""
    content = json.dumps([list(prompt.ids), list(prompt.stop_ids)], separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def stop_ids(tokenizer: Any, family: Family) -> tuple[int, ...]:
    """The ids that end a turn, the chat's turn end first; tokens the vocabulary lacks are left out."""
    vocabulary = tokenizer.get_vocab()
    ids = tuple(vocabulary[token] for token in family.stop_tokens if token in vocabulary)
    if family.stop_tokens[0] not in vocabulary:
        raise EngineError(
            f"tokenizer has no {family.stop_tokens[0]} token, which ends a turn of {family.model_type}; "
            "use the tokenizer that was saved with the model"
        )
    return ids


def audio_token_id(tokenizer: Any, family: Family) -> int:
    """The id of the audio placeholder; EngineError when the vocabulary lacks it."""
    vocabulary = tokenizer.get_vocab()
    if family.audio_token not in vocabulary:
        raise EngineError(
            f"tokenizer has no {family.audio_token} token, the audio placeholder of {family.model_type}; "
            "use the tokenizer that was saved with the model"
        )
    return int(vocabulary[family.audio_token])


def text_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The token ids of a corpus's text, nothing added; a turn end or placeholder spelled out in it stays plain text."""
    # Mistral's tokenizer never reads a special token from text, and knows no option for it.
    plain = {} if type(tokenizer).__name__ == "MistralCommonBackend" else {"split_special_tokens": True}
    return tuple(tokenizer(text, add_special_tokens=False, **plain)["input_ids"])


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of `ids` without special tokens, spaces left as they are."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)


def _render(family: Family, processor: Any, instruction: str) -> tuple[int, ...]:
    """The ids of the processor's chat template, with what its processor puts around the audio."""
    parts = [{"type": "audio"}, {"type": "text", "text": instruction}]
    content = family.audio_token + instruction if family.audio_in_text else parts
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    text = text.replace(family.audio_token, family.placeholder.format(audio=family.audio_token))
    return tuple(processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def _family_of_processor(processor: Any) -> Family:
    if isinstance(processor, HearingProcessor):
        return processor.family
    kind = type(processor).__name__
    for family in FAMILIES.values():
        if kind == family.processor_class:
            return family
    raise EngineError(f"{kind} is the processor of no declared family (declared: {', '.join(FAMILIES)})")
