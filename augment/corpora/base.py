"""What every corpus is: a lazy stream of Utterances and Rejections, a digest, and audio on demand."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from augment.audio import AudioError, read_segment
from augment.corpora.config import CorpusConfig
from augment.corpora.lines import file_sha256
from augment.corpora.sound import header_seconds
from augment.schema import Rejection, Utterance
from lalm.errors import SimulsaError

READER_VERSION = 1
"""Raised when a reader yields other utterances for the same bytes; part of every corpus digest."""


class CorpusError(SimulsaError):
    """A corpus that is not laid out as its configuration says: what was looked for, what was found."""


class Corpus(Protocol):
    """A split; iterating reads metadata only, in constant memory, and accounts for each line."""

    @property
    def config(self) -> CorpusConfig: ...

    @property
    def split(self) -> str: ...

    def __iter__(self) -> Iterator[Utterance | Rejection]: ...

    def digest(self) -> str:
        """The sha256 of the metadata's bytes and of what decides their meaning; never of a path or a host."""
        ...

    def load_audio(self, utterance: Utterance) -> NDArray[np.float32]:
        """The utterance's audio, shape (num_samples,), 16 kHz mono. Raises AudioError."""
        ...

    def audio_path(self, utterance: Utterance) -> Path:
        """The file that holds the utterance's audio, which may be missing. Raises AudioError outside the corpus."""
        ...

    def audio_seconds(self, utterance: Utterance) -> float:
        """How long the utterance's audio lasts by the header of its file; nothing is decoded. Raises AudioError."""
        ...


class FileCorpus:
    """The part that the layouts share: audio below a trusted directory, and the digest.

    `root` is what AudioRef paths are relative to. `audio_dir` is the directory, chosen by the configuration
    and the layout, that audio must lie in once symbolic links are followed; itself it may be a link to
    anywhere.
    """

    def __init__(self, config: CorpusConfig, split: str, *, root: Path, audio_dir: Path) -> None:
        self.config = config
        self.split = split
        self._root = root
        self._audio_dir = audio_dir

    def load_audio(self, utterance: Utterance) -> NDArray[np.float32]:
        """Read the utterance's segment, after checking where its path really leads. Raises AudioError."""
        return read_segment(self.audio_path(utterance), utterance.audio)

    def audio_path(self, utterance: Utterance) -> Path:
        """The file that the utterance's path really leads to. Raises AudioError when that lies elsewhere."""
        return self._contained(utterance.audio.path)

    def audio_seconds(self, utterance: Utterance) -> float:
        """What the header announces, or the segment's own duration where the file is long enough."""
        return header_seconds(self.audio_path(utterance), utterance.audio)

    def digest(self) -> str:
        """The sha256 of the metadata files' bytes, by role, and of the settings that give them meaning."""
        meaning = {
            "reader": READER_VERSION,
            "layout": self.config.layout,
            "name": self.config.name,
            "split": self.split,
            "train_split": self.config.train_split,
            "src_lang": self.config.src_lang,
            "tgt_lang": self.config.tgt_lang,
            "license": self.config.license,
            "files": self._metadata_digests(),
        } | self._more_meaning()
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    def _metadata_digests(self) -> dict[str, str]:
        return {role: file_sha256(path) for role, path in self._metadata_files().items()}

    def _metadata_files(self) -> dict[str, Path]:
        raise NotImplementedError

    def _more_meaning(self) -> dict[str, object]:
        """Settings of one layout that decide what its metadata means."""
        return {}

    def _below_root(self, path: str) -> str:
        """An absolute path that lies below root, as a manifest may name it, relative to root; any other as it is."""
        here = f"{self._root.absolute().as_posix()}/"
        return path.removeprefix(here) if posixpath.normpath(path) == path else path

    def _contained(self, path: str) -> Path:
        try:
            real, allowed = (self._root / path).resolve(), self._audio_dir.resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise AudioError("audio_missing", f"{path!r} is no usable path ({error})") from error
        if not real.is_relative_to(allowed):
            raise AudioError(
                "audio_outside_root", f"{path!r} leads outside of the corpus's audio folder; copy it inside"
            )
        return real
