"""The loss: next-token cross-entropy on target tokens and the turn end, and on nothing else.

The turn end after a partial target *is* the read/wait decision, so it always carries loss, and an empty target has
exactly that one loss-bearing token. Logits are computed only where a label stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lalm.encodings import AudioEncodings, num_audio_positions
from lalm.loading import SAMPLE_RATE_HZ, LoadedModel
from lalm.prompts import Prompt, audio_token_id
from train.data import TrainingExample

IGNORED = -100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Right-padded sequences: prompt with its audio positions, then the target but for its last token.

    `ids`, `mask` and `labels` have shape (batch, positions). Audio positions hold the placeholder id. `labels` is
    the token that follows each position where that token carries loss, else IGNORED.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    audio_starts: tuple[int, ...]
    audio_lengths: tuple[int, ...]


def collate(examples: Sequence[TrainingExample], prompt: Prompt, audio_id: int) -> Batch:
    """Lay examples out in one tensor each for ids, mask and labels."""
    start = prompt.ids.index(audio_id)
    lengths = tuple(num_audio_positions(len(example.clip.waveform)) for example in examples)
    rows = [
        (*prompt.ids[:start], *(audio_id,) * length, *prompt.ids[start + 1 :], *example.target_ids[:-1])
        for example, length in zip(examples, lengths, strict=True)
    ]
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    for i, (row, example) in enumerate(zip(rows, examples, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
        labels[i, len(row) - len(example.target_ids) : len(row)] = torch.tensor(example.target_ids)
    return Batch(ids=ids, mask=mask, labels=labels, audio_starts=(start,) * len(rows), audio_lengths=lengths)


def summed_loss(
    loaded: LoadedModel,
    examples: Sequence[TrainingExample],
    prompt: Prompt,
    *,
    encodings: AudioEncodings | None,
) -> Tensor:
    """Cross-entropy summed over loss-bearing tokens, a scalar; `encodings=None` trains through the encoder."""
    audio_id = audio_token_id(loaded.tokenizer, loaded.info.family)
    batch = collate(examples, prompt, audio_id)
    if encodings is None:
        hidden = _through_encoder(loaded, batch, examples)
    else:
        hidden = _from_encodings(loaded, batch, examples, encodings)
    labels = batch.labels.to(loaded.device)
    at_labels = labels != IGNORED  # (batch, positions)
    logits = loaded.model.lm_head(hidden[at_labels]).float()  # (loss-bearing tokens, vocabulary)
    return functional.cross_entropy(logits, labels[at_labels], reduction="sum")


def _from_encodings(
    loaded: LoadedModel, batch: Batch, examples: Sequence[TrainingExample], encodings: AudioEncodings
) -> Tensor:
    """Hidden states (batch, positions, width) over audio that the frozen encoder has seen once.

    Each clip is encoded alone: in a batch its last bits would depend on which neighbours the cache still lacked,
    and a resumed run would part from an unbroken one.
    """
    language_model: Any = getattr(loaded.model.model, loaded.info.family.decoder_module)
    with torch.autocast(loaded.device.type, enabled=False):  # others read these encodings too
        audio = encodings.get_batch(loaded, [example.clip for example in examples], alone=True)
    embeddings = language_model.get_input_embeddings()(batch.ids.to(loaded.device))
    for i, (start, length) in enumerate(zip(batch.audio_starts, batch.audio_lengths, strict=True)):
        # Encodings come from inference mode: autograd takes only a copy of them.
        embeddings[i, start : start + length] = audio[i].clone().to(embeddings.dtype)
    hidden: Tensor = language_model(
        inputs_embeds=embeddings, attention_mask=batch.mask.to(loaded.device), use_cache=False
    ).last_hidden_state
    return hidden


def _through_encoder(loaded: LoadedModel, batch: Batch, examples: Sequence[TrainingExample]) -> Tensor:
    """Hidden states (batch, positions, width) with gradients into encoder and projector."""
    features = loaded.processor.feature_extractor(
        [example.clip.waveform for example in examples],
        sampling_rate=SAMPLE_RATE_HZ,
        padding="max_length",
        return_attention_mask=True,
        return_tensors="pt",
    )
    hidden: Tensor = loaded.model.model(
        input_ids=batch.ids.to(loaded.device),
        attention_mask=batch.mask.to(loaded.device),
        input_features=features["input_features"].to(loaded.device, loaded.dtype),
        feature_attention_mask=features["attention_mask"].to(loaded.device),
        use_cache=False,
    ).last_hidden_state
    return hidden
