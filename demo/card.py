"""The model card of the micro LALM: what it was trained on, what it scores, and its hash."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from demo.model import PROMPT_TEXT
from demo.score import OfflineScore

_HASH = re.compile(r"^weights_sha256: ([0-9a-f]{64})$", re.MULTILINE)

_CARD = """---
license: apache-2.0
language: [en, de]
pipeline_tag: audio-text-to-text
library_name: transformers
weights_sha256: {weights_sha256}
training_set_sha256: {training_digest}
---

# Micro LALM

A `Qwen2AudioForConditionalGeneration` of {num_parameters:,} parameters that translates the spoken toy
English of `demo/` into German. It exists so that every stage of simulsa runs on a laptop and in CI, on
a model whose right answers are known. It is an *offline* model: it has only ever heard whole utterances,
and it fails when they are cut, which is what simulsa repairs.

## How it was made

`python -m demo.build` makes it from nothing on two CPU cores in about an hour:

1. {num_train:,} utterances of the toy corpus (espeak-ng voices, noise, seed {seed}); the digest above is
   the SHA-256 over their PCM and translations.
2. The audio encoder alone learns to name the word that sounds in each 40 ms state
   ({encoder_steps} steps of {encoder_batch}; held-out accuracy {frame_accuracy:.1%}).
3. Encoder frozen, projector and decoder learn to translate whole utterances
   ({decoder_steps} steps of {decoder_batch}, bf16 autocast, AdamW, cosine).

The window is 8 s, the prompt is the chat template's with the text `{prompt}`, greedy decoding.

## Scores

On the test split: no test sentence occurs in training, and a quarter of the test sentences combine a
verb and an object that never meet in training.

| utterances | BLEU, all valid translations | BLEU, corpus translation | exactly a valid translation |
|---|---|---|---|
| {num_utterances} | {bleu:.1f} | {own_bleu:.1f} | {valid_share:.1%} |

## Limits

It knows about 390 English word forms, synthetic voices, and nothing else. Audio beyond 8 s is cut.
Weights are stored in fp16 and meant to be loaded in fp32. Rebuilding on another machine gives other
weights (floating-point sums differ) and about the same scores.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a card says beyond the scores."""

    training_digest: str
    num_parameters: int
    num_train: int
    seed: int
    encoder_steps: int
    encoder_batch: int
    decoder_steps: int
    decoder_batch: int
    frame_accuracy: float


def weights_sha256(directory: Path) -> str:
    """The hash of the stored weights."""
    return sha256((directory / "model.safetensors").read_bytes()).hexdigest()


def recorded_sha256(directory: Path) -> str:
    """The hash that the card records."""
    found = _HASH.search((directory / "README.md").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{directory / 'README.md'}: has no weights_sha256 line; run python -m demo.build")
    return found.group(1)


def write_card(directory: Path, provenance: Provenance, score: OfflineScore) -> None:
    """Write the card beside the weights that it describes."""
    text = _CARD.format(
        weights_sha256=weights_sha256(directory),
        prompt=PROMPT_TEXT,
        bleu=score.bleu,
        own_bleu=score.own_bleu,
        valid_share=score.valid_share,
        num_utterances=score.num_utterances,
        training_digest=provenance.training_digest,
        num_parameters=provenance.num_parameters,
        num_train=provenance.num_train,
        seed=provenance.seed,
        encoder_steps=provenance.encoder_steps,
        encoder_batch=provenance.encoder_batch,
        decoder_steps=provenance.decoder_steps,
        decoder_batch=provenance.decoder_batch,
        frame_accuracy=provenance.frame_accuracy,
    )
    (directory / "README.md").write_text(text, encoding="utf-8")
