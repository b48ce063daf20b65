"""Audio comes in as any file and leaves as one thing: 16 kHz mono float32 on the 16-bit grid.

The grid makes a waveform equal to its own FLAC encoding, so a digest taken before a shard is written still
holds after it is read back. This module knows no corpora: whoever calls it has decided which file may be
read.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from augment.m4a import M4aError, open_sound
from augment.schema import SAMPLE_RATE_HZ, AudioRef
from lalm.errors import SimulsaError

ENDS_EARLY_TOLERANCE_S = 0.5
"""How much shorter than announced audio may be: corpora round segment ends, often past the end of a file."""

_MP3_LEAD_S = 1.0
"""Decoded and dropped before an MP3 segment: a frame borrows bits from earlier ones, which a seek has not read."""

_SAMPLE_RATES_HZ = range(4_000, 384_001)
_INT16 = np.iinfo(np.int16)


class AudioError(SimulsaError):
    """Audio that cannot be used; `reason` is the code of the Rejection it becomes, `detail` the sentence.

    Reasons: audio_missing, audio_outside_root, audio_empty_file, audio_undecodable, audio_no_samples,
    audio_non_finite, audio_offset_past_end, audio_ends_early.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def samples_of(duration_s: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """Seconds become samples here and nowhere else: rounded to the nearest, half to even."""
    return round(duration_s * sample_rate_hz)


def read_segment(path: Path, ref: AudioRef) -> NDArray[np.float32]:
    """The part of `path` that `ref` names, found by seeking; shape (num_samples,), 16 kHz mono, 16-bit grid.

    Channels are averaged, then resampled (soxr HQ), then rounded half to even. Raises AudioError.
    """
    _check_file(path)
    try:
        with open_sound(path) as file:
            native, rate_hz = read_native(file, ref, path.name), int(file.samplerate)
    except M4aError as error:
        raise AudioError("audio_undecodable", f"{path.name} cannot be decoded: {error}") from error
    except (
        soundfile.SoundFileError,
        OSError,
        TypeError,
    ) as error:  # TypeError: headerless formats such as .raw
        raise AudioError(
            "audio_undecodable",
            f"{path.name} is no audio that libsndfile can read ({_reason(error)}); use wav, flac, ogg or mp3",
        ) from error
    return to_grid(native, rate_hz, path.name)


def _reason(error: Exception) -> str:
    """What is wrong, without the path: a rejection must not depend on where the corpus lies."""
    return error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)


def pcm_digest(waveform: NDArray[np.float32]) -> str:
    """The sha256 of the waveform as little-endian 16-bit PCM: the content key of audio everywhere."""
    return hashlib.sha256(to_int16(waveform).astype("<i2", copy=False).tobytes()).hexdigest()


def encode_flac(waveform: NDArray[np.float32]) -> bytes:
    """FLAC bytes that `decode_flac` turns back into exactly this waveform, if it lies on the 16-bit grid."""
    buffer = io.BytesIO()
    soundfile.write(buffer, to_int16(waveform), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> NDArray[np.float32]:
    """The waveform inside FLAC bytes that `encode_flac` made; shape (num_samples,). Raises AudioError."""
    try:
        pcm, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    except soundfile.SoundFileError as error:
        raise AudioError("audio_undecodable", f"{len(data)} bytes are not FLAC ({error})") from error
    if rate_hz != SAMPLE_RATE_HZ or pcm.ndim != 1:
        raise AudioError(
            "audio_undecodable", f"expected {SAMPLE_RATE_HZ} Hz mono FLAC, got {rate_hz} Hz {pcm.shape}"
        )
    return from_int16(pcm)


def to_int16(waveform: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round to the 16-bit grid, half to even; values outside [-1, 1) are clipped."""
    scaled = np.rint(np.asarray(waveform, dtype=np.float64) * 32768.0)
    return np.clip(scaled, _INT16.min, _INT16.max).astype(np.int16)


def from_int16(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """16-bit values as float32 in [-1, 1); exact."""
    return pcm.astype(np.float32) / np.float32(32768.0)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size if path.is_file() else None
    except (OSError, ValueError) as error:
        raise AudioError("audio_missing", f"{path.name} cannot be opened ({error})") from error
    if size is None:
        raise AudioError(
            "audio_missing", f"there is no file {path.name} in {path.parent}; restore it or drop its line"
        )
    if size == 0:
        raise AudioError("audio_empty_file", f"{path.name} has 0 bytes; copy it again")


def read_native(file: soundfile.SoundFile, ref: AudioRef, name: str) -> NDArray[np.float32]:
    """Samples at the file's own rate, channels averaged; shape (num_frames,)."""
    rate_hz, available = int(file.samplerate), int(file.frames)
    if rate_hz not in _SAMPLE_RATES_HZ:
        raise AudioError("audio_undecodable", f"{name} claims {rate_hz} Hz; speech is 4 to 384 kHz")
    if available <= 0:
        raise AudioError("audio_no_samples", f"{name} is a valid file that holds no samples")
    start = samples_of(min(ref.offset_s, available / rate_hz), rate_hz)
    if start >= available:
        raise AudioError(
            "audio_offset_past_end",
            f"{name} lasts {available / rate_hz:.2f} s, the segment begins at {ref.offset_s} s",
        )
    wanted = _wanted_frames(ref, start, available, rate_hz, name)
    lead = min(start, samples_of(_MP3_LEAD_S, rate_hz)) if file.format == "MP3" else 0
    file.seek(start - lead)
    frames = file.read(lead + wanted, dtype="float32", always_2d=True)[lead:]  # (num_frames, channels)
    if wanted - len(frames) > samples_of(ENDS_EARLY_TOLERANCE_S, rate_hz) or not len(frames):
        raise AudioError(
            "audio_undecodable", f"{name} announces {wanted} frames, {len(frames)} can be decoded"
        )
    return _mono(frames, name)


def _wanted_frames(ref: AudioRef, start: int, available: int, rate_hz: int, name: str) -> int:
    if ref.duration_s is None:
        return available - start
    if ref.offset_s + ref.duration_s - available / rate_hz > ENDS_EARLY_TOLERANCE_S:
        raise AudioError(
            "audio_ends_early",
            f"{name} lasts {available / rate_hz:.2f} s, the segment ends at {ref.offset_s + ref.duration_s:.2f} s "
            f"(at most {ENDS_EARLY_TOLERANCE_S} s past the end is taken as rounding)",
        )
    wanted = samples_of(ref.offset_s + ref.duration_s, rate_hz) - start
    if wanted <= 0:
        raise AudioError("audio_no_samples", f"{name}: a segment of {ref.duration_s} s holds no sample")
    return min(wanted, available - start)


def _mono(frames: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    if not np.isfinite(frames).all():
        bad = int(np.count_nonzero(~np.isfinite(frames)))
        raise AudioError("audio_non_finite", f"{name} holds {bad} samples that are NaN or infinite")
    # Clipped first: a float file may hold 1e38, which would overflow in the mean and in the resampler.
    clipped = np.clip(frames, -1.0, 1.0)
    return clipped[:, 0] if clipped.shape[1] == 1 else clipped.mean(axis=1, dtype=np.float32)


def to_grid(native: NDArray[np.float32], rate_hz: int, name: str) -> NDArray[np.float32]:
    """Resampled to 16 kHz and rounded to what 16-bit PCM holds; shape (num_samples,)."""
    resampled = (
        native if rate_hz == SAMPLE_RATE_HZ else soxr.resample(native, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    )
    if not len(resampled):
        raise AudioError(
            "audio_no_samples", f"{name}: {len(native)} frames at {rate_hz} Hz are no sample at 16 kHz"
        )
    return from_int16(to_int16(resampled))
