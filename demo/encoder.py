"""Stage 1: the audio encoder learns to name the word that sounds in each of its states.

Training runs the tower's own submodules on features cropped to the longest audio of the batch; a test
shows that the states equal those of the full window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Qwen2AudioForConditionalGeneration

from demo.optimise import Schedule, Trainer, bucketed_batches
from demo.prepare import MARGIN_FRAMES, Example

ENCODER_SCHEDULE = Schedule(num_steps=1400, batch_size=32, peak_rate=1.5e-3)
NO_LABEL = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class MelBatch:
    """Cropped features [batch, mels, frames] and how many frames of each row are audio."""

    mel: Tensor
    num_frames: Tensor


def mel_batch(examples: Sequence[Example]) -> MelBatch:
    """Extend each example by its floor to the length of the longest, an even number of frames."""
    length = max(len(e.mel) for e in examples)
    length += -length % 4
    rows = np.stack(
        [np.pad(e.mel, ((0, length - len(e.mel)), (0, 0)), constant_values=e.floor) for e in examples]
    )
    mel = torch.from_numpy(rows).float().transpose(1, 2).contiguous()
    return MelBatch(mel=mel, num_frames=torch.tensor([e.num_frames for e in examples]))


def encode_cropped(tower: Any, batch: MelBatch) -> Tensor:
    """Encoder states [batch, states, width] of cropped features; valid ones equal the full window's."""
    hidden = nn.functional.gelu(tower.conv1(batch.mel))
    hidden = nn.functional.gelu(tower.conv2(hidden)).permute(0, 2, 1)  # [batch, positions, width]
    num_positions = hidden.shape[1]
    hidden = hidden + tower.embed_positions.weight[:num_positions]
    audible = torch.arange(num_positions) < ((batch.num_frames - 1) // 2 + 1)[:, None]
    mask = audible[:, None, None, :]  # keys that may be attended
    for layer in tower.layers:
        hidden = layer(hidden, mask)
    pooled = tower.avg_pooler(hidden.permute(0, 2, 1)).permute(0, 2, 1)
    states: Tensor = tower.layer_norm(pooled)
    return states


def _masked_bands(mel: Tensor, step: int, width: int = 8) -> Tensor:
    """Blank one band of mels and one short span of frames in each row (SpecAugment, light)."""
    generator = torch.Generator().manual_seed(step)
    rows, bands, frames = mel.shape
    mean = mel.mean(dim=(1, 2), keepdim=True)
    low = torch.randint(0, bands - width, (rows, 1, 1), generator=generator)
    start = torch.randint(0, max(1, frames - width), (rows, 1, 1), generator=generator)
    band, frame = torch.arange(bands)[None, :, None], torch.arange(frames)[None, None, :]
    hidden = ((band >= low) & (band < low + width)) | ((frame >= start) & (frame < start + width))
    return torch.where(hidden, mean, mel)


class WordLabels:
    """Numbers the words that states are labelled with; silence after the last word is one of them."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.names = sorted({word for e in examples for word in e.state_words} | {""})
        self._number = {name: i for i, name in enumerate(self.names)}

    def batch(self, examples: Sequence[Example], num_states: int) -> Tensor:
        """Labels [batch, states]; padding and words never seen in training carry none."""
        labels = torch.full((len(examples), num_states), NO_LABEL)
        for row, example in zip(labels, examples, strict=True):
            numbers = [self._number.get(word, NO_LABEL) for word in example.state_words]
            row[: len(numbers)] = torch.tensor(numbers)
        return labels


def frame_accuracy(tower: Any, head: nn.Module, labels: WordLabels, examples: Sequence[Example]) -> float:
    """The share of states whose word is named correctly."""
    right = total = 0
    ranked = sorted(examples, key=lambda e: e.num_frames)
    with torch.no_grad():
        for start in range(0, len(ranked), 32):
            part = ranked[start : start + 32]
            guesses = head(encode_cropped(tower, mel_batch(part))).argmax(-1)
            wanted = labels.batch(part, guesses.shape[1])
            right += int((guesses == wanted).sum())
            total += int((wanted != NO_LABEL).sum())
    return right / total


def train_encoder(
    model: Qwen2AudioForConditionalGeneration,
    train: Sequence[Example],
    dev: Sequence[Example],
    directory: Path,
    schedule: Schedule = ENCODER_SCHEDULE,
) -> float:
    """Train the tower and a throw-away classifier; returns the held-out frame accuracy."""
    tower = model.model.audio_tower
    labels = WordLabels(train)
    torch.manual_seed(11)
    head = nn.Linear(tower.config.d_model, len(labels.names))

    def loss_of(batch: list[int], step: int) -> Tensor:
        examples = [train[i] for i in batch]
        inputs = mel_batch(examples)
        inputs = MelBatch(mel=_masked_bands(inputs.mel, step), num_frames=inputs.num_frames)
        logits = head(encode_cropped(tower, inputs))
        wanted = labels.batch(examples, logits.shape[1])
        return nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=NO_LABEL
        )

    def report(step: int) -> None:
        print(f"encoder {step} dev frame accuracy {frame_accuracy(tower, head, labels, dev):.4f}", flush=True)

    trainer = Trainer(
        name="encoder",
        modules=nn.ModuleList([tower, head]),
        schedule=schedule,
        loss_of=loss_of,
        checkpoint=directory / "encoder.pt",
        on_checkpoint=report,
    )
    trainer.run(bucketed_batches([e.num_frames for e in train], schedule, seed=11))
    return frame_accuracy(tower, head, labels, dev)


assert MARGIN_FRAMES >= 3, "the convolutions reach three frames past the audio"
