"""Audio is encoded once, within a bound, and exactly as the whole window would be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lalm.encodings import AudioEncodings, encode, num_audio_positions
from lalm.engine import AudioClip
from lalm.loading import LoadedModel
from tests.support.micro import random_waveform


def clip(seed: int, num_samples: int) -> AudioClip:
    return AudioClip(key=f"{seed}:{num_samples}", waveform=random_waveform(seed, num_samples))


@pytest.mark.parametrize("num_samples", [321, 960, 961, 20_123, 63_999, 64_000])
def test_encoding_the_audio_part_equals_encoding_the_whole_window(
    loaded: LoadedModel, num_samples: int
) -> None:
    audio = clip(1, num_samples)
    features = loaded.processor.feature_extractor(
        audio.waveform,
        sampling_rate=16_000,
        padding="max_length",
        return_attention_mask=True,
        return_tensors="pt",
    )
    tower, projector = loaded.model.model.audio_tower, loaded.model.model.multi_modal_projector
    inner, pooled = tower._get_feat_extract_output_lengths(features["attention_mask"].sum(-1))
    positions = tower.config.max_source_positions
    visible = (torch.arange(positions) < inner)[None, None, None].expand(1, 1, positions, positions)
    with torch.inference_mode():
        whole = projector(tower(features["input_features"], attention_mask=visible).last_hidden_state)
    (ours,) = encode(loaded, [audio])
    torch.testing.assert_close(ours, whole[0, : int(pooled)], atol=1e-5, rtol=1e-5)


@given(st.integers(min_value=1, max_value=64_000))
def test_positions_follow_the_models_own_arithmetic(num_samples: int) -> None:
    frames = torch.tensor(-(-num_samples // 160))
    inner = (frames - 1) // 2 + 1
    assert num_audio_positions(num_samples) == int((inner - 2) // 2 + 1)


def test_each_clip_has_as_many_positions_as_promised(loaded: LoadedModel) -> None:
    clips = [clip(seed, n) for seed, n in enumerate((321, 800, 16_000, 64_000))]
    lengths = [len(embeddings) for embeddings in encode(loaded, clips)]
    assert lengths == [num_audio_positions(len(c.waveform)) for c in clips]


def test_a_clip_is_encoded_once_per_encoder(loaded: LoadedModel) -> None:
    encodings = AudioEncodings()
    clips = [clip(1, 5_000), clip(2, 5_000), clip(1, 5_000)]
    first = encodings.get_batch(loaded, clips)
    assert encodings.encoded == 2
    assert first[0] is first[2]
    assert encodings.get_batch(loaded, clips[:1])[0] is first[0]
    encodings.get_batch(loaded, clips[:1], encoder_key="another")
    assert encodings.encoded == 3


def test_results_stand_in_the_order_of_the_clips(loaded: LoadedModel) -> None:
    clips = [clip(seed, n) for seed, n in ((1, 40_000), (2, 5_000), (3, 20_000))]
    together = AudioEncodings().get_batch(loaded, clips)
    for audio, embeddings in zip(clips, together, strict=True):
        torch.testing.assert_close(embeddings, encode(loaded, [audio])[0], atol=1e-5, rtol=1e-5)


def test_the_least_recently_used_audio_makes_room(loaded: LoadedModel) -> None:
    one = encode(loaded, [clip(1, 5_000)])[0].nbytes
    encodings = AudioEncodings(max_bytes=2 * one)
    encodings.get_batch(loaded, [clip(1, 5_000), clip(2, 5_000)])
    encodings.get_batch(loaded, [clip(1, 5_000)])
    encodings.get_batch(loaded, [clip(3, 5_000)])
    assert encodings.num_bytes == 2 * one
    encodings.get_batch(loaded, [clip(1, 5_000), clip(3, 5_000)])
    assert encodings.encoded == 3
    encodings.get_batch(loaded, [clip(2, 5_000)])
    assert encodings.encoded == 4
