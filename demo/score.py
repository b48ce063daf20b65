"""Offline scores of a micro LALM through plain greedy ``generate``: BLEU against every valid translation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from sacrebleu.metrics.bleu import BLEU
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from demo.architecture import user_turn
from demo.corpus import Spec, make_utterance
from demo.truth import Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineScore:
    """``bleu`` against all valid translations, ``own_bleu`` against the corpus's only; shares of sentences."""

    bleu: float
    own_bleu: float
    valid_share: float
    num_utterances: int


def translate(
    model: Qwen2AudioForConditionalGeneration,
    processor: Qwen2AudioProcessor,
    audios: Sequence[np.ndarray],
    *,
    batch_size: int = 50,
) -> list[str]:
    """Greedy translations of whole utterances, in order."""
    prompt = processor.apply_chat_template(user_turn(), tokenize=False, add_generation_prompt=True)
    texts: dict[int, str] = {}
    ranked = sorted(range(len(audios)), key=lambda i: len(audios[i]))
    for start in track(range(0, len(ranked), batch_size), "translating"):
        part = ranked[start : start + batch_size]
        inputs = processor(
            text=[prompt] * len(part),
            audio=[audios[i] for i in part],
            sampling_rate=16_000,
            return_tensors="pt",
            padding=True,
        )
        with torch.inference_mode():
            ids = model.generate(**inputs, do_sample=False, max_new_tokens=80)
        answers = processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        texts |= dict(zip(part, answers, strict=True))
    return [texts[i] for i in range(len(audios))]


def corpus_bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Multi-reference BLEU; sacrebleu wants equal counts, so the last reference is repeated."""
    most = max(map(len, references))
    padded = [[*refs, *[refs[-1]] * (most - len(refs))] for refs in references]
    return float(
        BLEU().corpus_score(list(texts), [list(column) for column in zip(*padded, strict=True)]).score
    )


def score_texts(texts: Sequence[str], truths: Sequence[Truth]) -> OfflineScore:
    """Score translations of whole utterances against the truth."""
    references = [truth.references for truth in truths]
    return OfflineScore(
        bleu=corpus_bleu(texts, references),
        own_bleu=corpus_bleu(texts, [refs[:1] for refs in references]),
        valid_share=sum(text in refs for text, refs in zip(texts, references, strict=True)) / len(texts),
        num_utterances=len(texts),
    )


def score_offline(
    model: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor, specs: Sequence[Spec]
) -> OfflineScore:
    """Translate utterances of the toy corpus and score them."""
    truths, speeches = zip(*map(make_utterance, specs), strict=True)
    audios = [speech.pcm.astype(np.float32) / 32768 for speech in speeches]
    return score_texts(translate(model, processor, audios), truths)
