"""What cannot be had on a machine without torchvision, and what no audio passes: stood in for while a block runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import transformers


class _NoPictures(torch.nn.Module):
    """Where a picture tower would stand; nothing ever passes it."""


@contextmanager
def stand_ins() -> Iterator[None]:
    """Gemma's picture tower without timm, and torchaudio's mel spectrogram without torchaudio."""
    from transformers.models.gemma3n import modeling_gemma3n as gemma
    from transformers.models.granite_speech import feature_extraction_granite_speech as granite

    from_config = gemma.AutoModel.from_config

    def without_pictures(config: Any) -> Any:
        return _NoPictures() if config.model_type == "gemma3n_vision" else from_config(config)

    def mel_spectrogram(**settings: Any) -> Any:
        return _Mel(**settings)

    audio = SimpleNamespace(transforms=SimpleNamespace(MelSpectrogram=mel_spectrogram))
    with (
        patch("lalm.loading.find_spec", lambda name: name),
        patch.object(gemma, "AutoModel", SimpleNamespace(from_config=without_pictures)),
        patch.object(granite, "requires_backends", lambda *_: None),
        patch.object(granite, "torchaudio", audio, create=True),
    ):
        yield


class _Mel(torch.nn.Module):
    """torchaudio's power mel spectrogram with its default settings, shape (batch, mels, frames)."""

    def __init__(
        self, *, sample_rate: int, n_fft: int, win_length: int, hop_length: int, n_mels: int
    ) -> None:
        super().__init__()
        filters = transformers.audio_utils.mel_filter_bank(
            n_fft // 2 + 1, n_mels, 0.0, sample_rate / 2, sample_rate, norm=None, mel_scale="htk"
        )
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32))
        self.options = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length}

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        window = torch.hann_window(self.options["win_length"])
        spectrum = torch.stft(waveform, **self.options, window=window, return_complex=True).abs() ** 2
        return (spectrum.transpose(-1, -2) @ self.filters).transpose(-1, -2)
