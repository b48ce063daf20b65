"""What audio comes in, what 16 kHz mono 16-bit audio leaves, and how each bad file is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from augment.audio import (
    AudioError,
    decode_flac,
    encode_flac,
    from_int16,
    pcm_digest,
    read_segment,
    to_int16,
)
from augment.schema import AudioRef
from tests.support.corpora import tone, write_audio

PCM = hnp.arrays(np.int16, st.integers(1, 3000), elements=st.integers(-32768, 32767))


def reason_of(path: Path, **segment: float) -> str:
    with pytest.raises(AudioError) as caught:
        read_segment(path, AudioRef(path=path.name, **segment))
    assert caught.value.reason in str(caught.value)
    return caught.value.reason


@given(PCM)
def test_flac_round_trip_is_lossless_on_the_16_bit_grid(pcm: np.ndarray) -> None:
    waveform = from_int16(pcm)
    again = decode_flac(encode_flac(waveform))
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, waveform)
    assert pcm_digest(again) == pcm_digest(waveform)


@given(PCM)
def test_the_16_bit_grid_survives_float32(pcm: np.ndarray) -> None:
    np.testing.assert_array_equal(to_int16(from_int16(pcm)), pcm)


def test_values_beyond_full_scale_are_clipped_and_halves_round_to_even() -> None:
    waveform = np.array([2.0, 1.0, -1.0, -3.0, 0.5 / 32768, 1.5 / 32768, 2.5 / 32768], dtype=np.float32)
    assert to_int16(waveform).tolist() == [32767, 32767, -32768, -32768, 0, 2, 2]


def test_digest_is_that_of_little_endian_pcm() -> None:
    # sha256 of the bytes 00 00 01 00 ff ff
    waveform = from_int16(np.array([0, 1, -1], dtype=np.int16))
    assert pcm_digest(waveform) == "c0094727eb5e8c2c3727a91e3669164126c0b5c3db514f95bfaeeaca00150876"


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
@pytest.mark.parametrize(("offset_s", "duration_s"), [(0.0, 0.5), (0.7, 0.9), (1.1, None)])
def test_segment_read_by_seeking_equals_the_slice_of_the_whole(
    tmp_path: Path, suffix: str, offset_s: float, duration_s: float | None
) -> None:
    path = tmp_path / f"a{suffix}"
    write_audio(path, 2.0)
    whole = read_segment(path, AudioRef(path=path.name))
    part = read_segment(path, AudioRef(path=path.name, offset_s=offset_s, duration_s=duration_s))
    start = round(offset_s * 16_000)
    end = len(whole) if duration_s is None else round((offset_s + duration_s) * 16_000)
    np.testing.assert_array_equal(part, whole[start:end])


def test_mp3_segment_equals_the_slice_of_the_whole_up_to_one_rounding(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    write_audio(path, 6.0)
    whole = read_segment(path, AudioRef(path=path.name))
    for offset_s in np.linspace(0.0, 5.0, 23):
        part = read_segment(path, AudioRef(path=path.name, offset_s=float(offset_s), duration_s=1.0))
        start = round(offset_s * 16_000)
        # The decoder's sums run in another order after a seek; without its lead, up to 3,680 steps were measured.
        assert np.abs(to_int16(part) - to_int16(whole[start : start + 16_000]).astype(int)).max() <= 1


def test_stereo_at_48_khz_becomes_the_same_tone_in_mono_at_16_khz(tmp_path: Path) -> None:
    stereo, mono = tmp_path / "stereo.wav", tmp_path / "mono.wav"
    soundfile.write(stereo, np.stack([tone(1.0, rate_hz=48_000), np.zeros(48_000)], axis=1), 48_000)
    soundfile.write(mono, tone(1.0, rate_hz=48_000) / 2, 48_000)
    mixed, half = (read_segment(path, AudioRef(path=path.name)) for path in (stereo, mono))
    assert mixed.shape == (16_000,)
    assert mixed.dtype == np.float32
    assert np.abs(mixed - half).max() <= 2 / 32768
    spectrum = np.abs(np.fft.rfft(mixed))
    assert int(spectrum.argmax()) == 150  # 1 s of audio: bin n is n Hz, and tone(seed=0) is 150 Hz


def test_every_waveform_lies_on_the_16_bit_grid(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.ogg", 0.5, rate_hz=44_100, channels=2)
    waveform = read_segment(tmp_path / "a.ogg", AudioRef(path="a.ogg"))
    np.testing.assert_array_equal(waveform * 32768, np.rint(waveform * 32768))


def test_missing_file_folder_and_impossible_name_are_audio_missing(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "no.wav") == "audio_missing"
    assert reason_of(tmp_path) == "audio_missing"
    assert reason_of(tmp_path / ("x" * 5000)) == "audio_missing"


def test_file_without_bytes_is_audio_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert reason_of(tmp_path / "a.wav") == "audio_empty_file"


def test_text_named_wav_is_undecodable_with_the_formats_to_use(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no audio here " * 50)
    with pytest.raises(AudioError, match=r"audio_undecodable: a\.wav.*flac"):
        read_segment(tmp_path / "a.wav", AudioRef(path="a.wav"))


def test_file_whose_name_claims_headerless_audio_is_undecodable(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"1234" * 99)
    assert reason_of(tmp_path / "a.raw") == "audio_undecodable"


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_file_cut_in_half_is_undecodable_rather_than_short(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_audio(path, 4.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason_of(path) == "audio_undecodable"


def test_header_without_samples_is_audio_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, dtype=np.float32), 16_000)
    assert reason_of(tmp_path / "a.wav") == "audio_no_samples"
    write_audio(tmp_path / "b.wav", 1.0)
    assert reason_of(tmp_path / "b.wav", duration_s=1e-9) == "audio_no_samples"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_sample_in_a_float_file_is_found(tmp_path: Path, bad: float) -> None:
    wave = tone(0.2)
    wave[77] = bad
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    assert reason_of(tmp_path / "a.wav") == "audio_non_finite"


def test_huge_float_samples_are_clipped_without_overflow(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full((4800, 2), 3e38), 48_000, subtype="FLOAT")
    waveform = read_segment(tmp_path / "a.wav", AudioRef(path="a.wav"))
    assert waveform.max() == np.float32(32767 / 32768)


def test_offset_past_the_end_says_how_long_the_file_is(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 1.0)
    for offset_s in (1.0, 17.5, 1e300):
        assert reason_of(tmp_path / "a.wav", offset_s=offset_s) == "audio_offset_past_end"
    with pytest.raises(AudioError, match=r"lasts 1\.00 s"):
        read_segment(tmp_path / "a.wav", AudioRef(path="a.wav", offset_s=2.0))


def test_segment_may_end_a_rounding_past_the_file_but_no_more(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 1.0)
    rounded = read_segment(tmp_path / "a.wav", AudioRef(path="a.wav", offset_s=0.5, duration_s=0.6))
    assert len(rounded) == 8000
    assert reason_of(tmp_path / "a.wav", offset_s=0.5, duration_s=1.2) == "audio_ends_early"


def test_flac_of_another_rate_is_refused() -> None:
    with pytest.raises(AudioError, match="audio_undecodable"):
        decode_flac(b"not flac")
