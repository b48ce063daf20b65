"""MPEG-4 audio (m4a: AAC or ALAC), which libsndfile does not read: decoded by PyAV where the extra `m4a` is installed.

It reads as `soundfile.SoundFile` does, as far as `augment.audio` asks.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile
from numpy.typing import NDArray

_SUFFIXES = (".m4a", ".mp4", ".m4b", ".mov", ".3gp", ".parquet", ".zip")
"""MPEG-4 files, and files of files that may hold some."""
_LEAD_S = 1.0
"""Decoded and dropped before a segment: an AAC frame overlaps the one before it."""


class M4aError(Exception):
    """An m4a that cannot be decoded; the message says why."""


def open_sound(source: Path | io.BytesIO) -> Any:
    """The audio in a file or in a file's bytes: a `soundfile.SoundFile`, or what reads like one.

    Raises M4aError, and what soundfile raises.
    """
    return M4aFile(source) if is_m4a(source) else soundfile.SoundFile(source)


def is_m4a(source: Path | io.BytesIO) -> bool:
    """Whether the first bytes are those of an MPEG-4 container."""
    if isinstance(source, io.BytesIO):
        return source.getvalue()[4:8] == b"ftyp"
    with source.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def m4a_libraries(paths: Iterable[Path]) -> dict[str, str]:
    """What decodes these files besides soundfile, by version; nothing where no name says that it may be m4a."""
    used = find_spec("av") is not None and any(path.suffix.lower() in _SUFFIXES for path in paths)
    return {"av": version("av")} if used else {}


class M4aFile:
    """The first audio stream of an MPEG-4 file; `frames` is what its header announces."""

    format = "M4A"

    def __init__(self, source: Path | io.BytesIO) -> None:
        if find_spec("av") is None:
            raise M4aError("m4a needs PyAV: pip install 'simulsa[m4a]', or convert the audio to wav or flac")
        self._av: Any = importlib.import_module("av")
        try:
            self._container = self._av.open(
                source if isinstance(source, io.BytesIO) else str(source),
                format="mp4",
                metadata_errors="ignore",
            )
        except (self._av.FFmpegError, ValueError) as error:
            raise M4aError(_words(error)) from error
        if not self._container.streams.audio or self._container.streams.audio[0].duration is None:
            self._container.close()
            raise M4aError("the container announces no audio")
        self._stream = self._container.streams.audio[0]
        self.samplerate: int = self._stream.rate
        self.frames = round(self._stream.duration * self._stream.time_base * self.samplerate)
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def seek(self, frame: int) -> None:
        """Let the next read begin here."""
        self._position = frame

    def read(self, frames: int, *, dtype: str, always_2d: bool) -> NDArray[np.float32]:
        """At most so many frames from the position on, shape (frames, channels)."""
        assert (dtype, always_2d) == ("float32", True)
        try:
            parts = self._decode(frames)
        except (self._av.FFmpegError, ValueError) as error:
            raise M4aError(_words(error)) from error
        if not parts:
            return np.zeros((0, 1), dtype=np.float32)
        return np.concatenate(parts)[:frames]

    def _decode(self, wanted: int) -> list[NDArray[np.float32]]:
        base = self._stream.time_base
        lead_s = (
            self._position / self.samplerate - _LEAD_S
        )  # below 0 for a beginning: what primes it lies before 0
        self._container.seek(int(lead_s / base), stream=self._stream)
        parts: list[NDArray[np.float32]] = []
        have = 0
        for frame in self._container.decode(self._stream):
            if frame.pts is None:
                raise M4aError("a frame does not say when it sounds")
            begin = round(frame.pts * base * self.samplerate)
            part = _samples(frame)[max(0, self._position - begin) :]
            parts.append(part)
            have += len(part)
            if have >= wanted:
                break
        return parts


def _samples(frame: Any) -> NDArray[np.float32]:
    """Shape (frames, channels), in [-1, 1]."""
    raw = frame.to_ndarray()
    table = raw.T if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels)
    if table.dtype.kind == "i":
        table = table / -float(np.iinfo(table.dtype).min)
    samples: NDArray[np.float32] = table.astype(np.float32)
    return samples


def _words(error: Exception) -> str:
    """What is wrong, without the path: a rejection must not depend on where the corpus lies."""
    return str(getattr(error, "strerror", None) or type(error).__name__)
