"""Each audio is encoded once: projected audio embeddings in memory, bounded by bytes, least recently used out first.

Streaming evaluation asks for the same audio under many prompts, adapters and step sizes, and an encoding costs more
than the prompt that uses it. A family says how it hears one audio; without that it is heard as Qwen2-Audio does, in
batches, the encoder running only over the positions that hold audio: its attention masks the rest of the window, so
computing it changes nothing but the bill.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu
from transformers.masking_utils import create_bidirectional_mask

from lalm.adapters import BASE_ENCODER
from lalm.engine import AudioClip
from lalm.loading import SAMPLE_RATE_HZ, LoadedModel

GIBIBYTE = 1 << 30
MEL_HOP_SAMPLES = 160
MARGIN_FRAMES = 8
"""Silence after the audio that the spectrogram's and the convolutions' edges stand on."""


class AudioEncodings:
    """A bounded cache of audio embeddings, keyed by the clip's content and by the encoder that made them."""

    def __init__(self, *, max_bytes: int = 2 * GIBIBYTE, batch_size: int = 8) -> None:
        self._max_bytes = max_bytes
        self._batch_size = batch_size
        self._entries: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self.num_bytes = 0
        self.encoded = 0

    def get_batch(
        self,
        loaded: LoadedModel,
        clips: Sequence[AudioClip],
        *,
        encoder_key: str = BASE_ENCODER,
        alone: bool = False,
    ) -> list[Tensor]:
        """Embeddings of each clip, shape (positions, width), in the order of `clips`.

        `encoder_key` names the encoder's weights: an adapter that touches the encoder brings its own. `alone`
        encodes each clip in a batch of one and keeps the result apart, so that its bits depend on no neighbour; a
        family that hears one audio at a time has nothing to keep apart.
        """
        together = loaded.info.family.hear is None
        space = f"{encoder_key}/alone" if alone and together else encoder_key
        found = {clip.key: entry for clip in clips if (entry := self._recall((space, clip.key))) is not None}
        missing = {clip.key: clip for clip in clips if clip.key not in found}
        ordered = sorted(missing.values(), key=lambda clip: len(clip.waveform))
        size = 1 if alone else self._batch_size
        for start in range(0, len(ordered), size):
            part = ordered[start : start + size]
            for clip, embeddings in zip(part, encode(loaded, part), strict=True):
                found[clip.key] = embeddings
                self._keep((space, clip.key), embeddings)
        return [found[clip.key] for clip in clips]

    def _recall(self, key: tuple[str, str]) -> Tensor | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def _keep(self, key: tuple[str, str], embeddings: Tensor) -> None:
        self.encoded += 1
        self._entries[key] = embeddings
        self.num_bytes += embeddings.nbytes
        while self.num_bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self.num_bytes -= dropped.nbytes


@torch.inference_mode()
def encode(loaded: LoadedModel, clips: Sequence[AudioClip]) -> list[Tensor]:
    """Run feature extractor, encoder and projector once over `clips`; shapes (positions, width) each."""
    return hear(loaded, clips)


def hear(loaded: LoadedModel, clips: Sequence[AudioClip]) -> list[Tensor]:
    """`encode` with gradients, for training through the encoder."""
    hear_one = loaded.info.family.hear
    if hear_one is None:
        return _hear_together(loaded, clips)
    extractor = loaded.processor.feature_extractor
    return [hear_one(loaded.model, extractor, clip.waveform) for clip in clips]


def num_audio_positions(num_samples: int) -> int:
    """How many audio positions `num_samples` become: mel frames, a convolution of stride 2, a pooling of 2.

    Exact for Qwen2-Audio and Qwen2.5-Omni; for other families an estimate that only grows with the audio, which is
    enough to sort by. How many there are is what `encode` gives.
    """
    num_frames = -(-num_samples // MEL_HOP_SAMPLES)
    return max(0, ((num_frames - 1) // 2 + 1 - 2) // 2 + 1)


def _hear_together(loaded: LoadedModel, clips: Sequence[AudioClip]) -> list[Tensor]:
    mel, num_frames = _mel(loaded, clips)
    tower = getattr(loaded.model.model, loaded.info.family.encoder_module)
    projector = getattr(loaded.model.model, str(loaded.info.family.projector_module))
    num_inner, num_pooled = tower._get_feat_extract_output_lengths(num_frames)  # (batch,) each
    embeddings = projector(encode_audio_part(tower, mel, num_inner))  # (batch, positions, width)
    return [row[:count].clone() for row, count in zip(embeddings, num_pooled.tolist(), strict=True)]


def _mel(loaded: LoadedModel, clips: Sequence[AudioClip]) -> tuple[Tensor, Tensor]:
    """Log-mel features (batch, mel bins, frames) of the longest clip plus a margin of silence, and true lengths.

    Frames of silence beyond it never change a feature: they are never the maximum that the rest is scaled by.
    """
    longest = max(len(clip.waveform) for clip in clips)
    num_frames = -(-longest // MEL_HOP_SAMPLES) + MARGIN_FRAMES
    features = loaded.processor.feature_extractor(
        [clip.waveform for clip in clips],
        sampling_rate=SAMPLE_RATE_HZ,
        padding="max_length",
        max_length=min(num_frames * MEL_HOP_SAMPLES, loaded.info.window_samples),
        return_attention_mask=True,
        return_tensors="pt",
    )
    mel = features["input_features"].to(loaded.device, loaded.dtype)
    return mel, features["attention_mask"].to(loaded.device).sum(-1)


def encode_audio_part(tower: Any, mel: Tensor, num_inner: Tensor) -> Tensor:
    """The encoder's own forward over the longest clip's positions instead of the whole window.

    Equal because a position sees, besides the unmasked positions, only its neighbours in the two convolutions.
    """
    length = int(num_inner.max())
    length += length % 2  # the pooling takes pairs
    inner = gelu(tower.conv2(gelu(tower.conv1(mel[..., : 2 * length + 1]))))[..., :length]
    hidden = inner.permute(0, 2, 1) + tower.embed_positions.weight[:length]  # (batch, length, width)
    valid = torch.arange(length, device=mel.device)[None, :] < num_inner[:, None]  # (batch, length)
    mask = create_bidirectional_mask(config=tower.config, inputs_embeds=hidden, attention_mask=valid.long())
    for layer in tower.layers:
        hidden = layer(hidden, mask)
    pooled = tower.avg_pooler(hidden.permute(0, 2, 1)).permute(0, 2, 1)  # (batch, length / 2, width)
    normed: Tensor = tower.layer_norm(pooled)
    return normed
