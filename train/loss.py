"""The loss: next-token cross-entropy on target tokens and the turn end, and on nothing else.

The turn end after a partial target *is* the read/wait decision, so it always carries loss, and an empty target has
exactly that one loss-bearing token. Logits are computed only where a label stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lalm.decoding import LanguageModel
from lalm.encodings import AudioEncodings, hear, num_audio_positions
from lalm.engine import AudioClip
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


def collate(
    examples: Sequence[TrainingExample], prompt: Prompt, audio_id: int, lengths: Sequence[int]
) -> Batch:
    """Lay examples out in one tensor each for ids, mask and labels; `lengths` are their audio positions."""
    start = prompt.ids.index(audio_id)
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
    return Batch(
        ids=ids, mask=mask, labels=labels, audio_starts=(start,) * len(rows), audio_lengths=tuple(lengths)
    )


def summed_loss(
    loaded: LoadedModel,
    examples: Sequence[TrainingExample],
    prompt: Prompt,
    *,
    encodings: AudioEncodings | None,
) -> Tensor:
    """Cross-entropy summed over loss-bearing tokens, a scalar; `encodings=None` trains through the encoder."""
    audio_id = audio_token_id(loaded.tokenizer, loaded.info.family)
    language_model = LanguageModel(loaded)
    clips = [example.clip for example in examples]
    if encodings is None and loaded.info.family.hear is None:
        batch = collate(examples, prompt, audio_id, [num_audio_positions(len(c.waveform)) for c in clips])
        hidden = _through_whole_window(loaded, batch, clips)
    else:
        audio = hear(loaded, clips) if encodings is None else _recalled(loaded, clips, encodings)
        batch = collate(examples, prompt, audio_id, [len(positions) for positions in audio])
        hidden = _hidden(language_model, batch, audio)
    labels = batch.labels.to(loaded.device)
    at_labels = labels != IGNORED  # (batch, positions)
    logits = language_model.logits(hidden[at_labels])  # (loss-bearing tokens, vocabulary)
    return functional.cross_entropy(logits, labels[at_labels], reduction="sum")


def _recalled(loaded: LoadedModel, clips: Sequence[AudioClip], encodings: AudioEncodings) -> list[Tensor]:
    """What the frozen encoder made of the clips, shapes (positions, width).

    Each clip is encoded alone: in a batch its last bits would depend on which neighbours the cache still lacked,
    and a resumed run would part from an unbroken one.
    """
    with torch.autocast(loaded.device.type, enabled=False):  # others read these encodings too
        audio = encodings.get_batch(loaded, clips, alone=True)
    return [positions.clone() for positions in audio]  # autograd takes no tensor of inference mode


def _hidden(language_model: LanguageModel, batch: Batch, audio: Sequence[Tensor]) -> Tensor:
    """Hidden states (batch, positions, width) with the audio where its placeholders stand."""
    embeddings, told = language_model.embed(batch.ids.to(language_model.device))
    for i, (start, length) in enumerate(zip(batch.audio_starts, batch.audio_lengths, strict=True)):
        embeddings[i, start : start + length] = audio[i].to(embeddings.dtype)
    return language_model.hidden(
        embeddings, told, attention_mask=batch.mask.to(language_model.device), use_cache=False
    )


def _through_whole_window(loaded: LoadedModel, batch: Batch, clips: Sequence[AudioClip]) -> Tensor:
    """Hidden states (batch, positions, width) of Qwen2-Audio's own forward, with gradients into the encoder."""
    features = loaded.processor.feature_extractor(
        [clip.waveform for clip in clips],
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
