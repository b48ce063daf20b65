"""Audio that is not a file of its own, and audio headers; knows containers' bytes, not which container they lie in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from augment.audio import ENDS_EARLY_TOLERANCE_S, AudioError, read_native, to_grid
from augment.m4a import M4aError, open_sound
from augment.schema import AudioRef

_NOT_AUDIO = {
    b"\x93NUMPY": "a NumPy feature matrix; simulsa needs the waveform",
    b"PK\x03\x04": "a zip entry's header; offset and length must name the stored bytes of an uncompressed entry",
}


def read_encoded(data: bytes, name: str) -> NDArray[np.float32]:
    """The waveform inside a whole audio file's bytes; shape (num_samples,), 16 kHz mono. Raises AudioError."""
    _check_bytes(data, name)
    try:
        with open_sound(io.BytesIO(data)) as file:
            native, rate_hz = read_native(file, AudioRef(path=name), name), int(file.samplerate)
    except M4aError as error:
        raise AudioError("audio_undecodable", f"{name} cannot be decoded: {error}") from error
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise _undecodable(name, error) from error
    return to_grid(native, rate_hz, name)


def encoded_seconds(data: bytes, name: str) -> float:
    """How long the audio inside a file's bytes lasts by its header. Raises AudioError."""
    _check_bytes(data, name)
    return _announced(io.BytesIO(data), AudioRef(path=name), name)


def header_seconds(path: Path, ref: AudioRef) -> float:
    """How long the part of the file that `ref` names lasts by the file's header. Raises AudioError."""
    try:
        size = path.stat().st_size if path.is_file() else None
    except (OSError, ValueError) as error:
        raise AudioError("audio_missing", f"{path.name} cannot be opened ({error})") from error
    if size is None:
        raise AudioError("audio_missing", f"there is no file {path.name} in {path.parent}")
    if size == 0:
        raise AudioError("audio_empty_file", f"{path.name} has 0 bytes; copy it again")
    return _announced(path, ref, path.name)


def _announced(source: Path | io.BytesIO, ref: AudioRef, name: str) -> float:
    try:
        with open_sound(source) as file:
            available_s = file.frames / file.samplerate
    except M4aError as error:
        raise AudioError("audio_undecodable", f"{name} cannot be decoded: {error}") from error
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise _undecodable(name, error) from error
    if available_s <= 0:
        raise AudioError("audio_no_samples", f"{name} is a valid file that holds no samples")
    if ref.offset_s >= available_s:
        raise AudioError(
            "audio_offset_past_end",
            f"{name} lasts {available_s:.2f} s, the segment begins at {ref.offset_s} s",
        )
    left_s = float(available_s - ref.offset_s)
    if ref.duration_s is not None and ref.duration_s - left_s > ENDS_EARLY_TOLERANCE_S:
        raise AudioError(
            "audio_ends_early",
            f"{name} lasts {available_s:.2f} s, the segment ends at {ref.offset_s + ref.duration_s:.2f} s",
        )
    return left_s if ref.duration_s is None else min(ref.duration_s, left_s)


def _check_bytes(data: bytes, name: str) -> None:
    if not data:
        raise AudioError("audio_empty_file", f"{name} has 0 bytes; copy it again")
    for magic, what in _NOT_AUDIO.items():
        if data.startswith(magic):
            raise AudioError("audio_undecodable", f"{name} is {what}")


def _undecodable(name: str, error: Exception) -> AudioError:
    # str(error) would hold the address of the buffer, which differs from run to run.
    why = error.error_string if isinstance(error, soundfile.LibsndfileError) else type(error).__name__
    return AudioError(
        "audio_undecodable", f"{name} is no audio that libsndfile can read ({why}); use wav, flac, ogg or mp3"
    )
