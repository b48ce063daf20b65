"""A fairseq S2T manifest: a TSV with id, audio, n_frames, tgt_text, and optionally src_text, speaker and languages.

Looked for below root: `manifest` of the configuration, else `{split}_st.tsv`, `{split}_st_{src}_{tgt}.tsv`,
`{split}.tsv`. `audio` is a file, `talk.wav:offset:n_frames` (frames at `offset_rate_hz`), or `audio.zip:offset:length`
(bytes of an uncompressed entry). Absolute paths are read where they lie below root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augment.audio import AudioError
from augment.corpora.base import CorpusError, FileCorpus
from augment.corpora.checks import Checker, Fields, reject
from augment.corpora.config import CorpusConfig
from augment.corpora.sound import encoded_seconds, read_encoded
from augment.corpora.tsv import read_header, rows
from augment.schema import Rejection, Utterance

REQUIRED = ("id", "audio", "n_frames", "tgt_text")
_SLICE = re.compile(r"(?P<file>.+\.\w+):(?P<offset>[0-9]{1,15}):(?P<length>[0-9]{1,15})", re.DOTALL)
_LIKE_A_SLICE = re.compile(r".+\.\w+:", re.DOTALL)


class FairseqCorpus(FileCorpus):
    """One split; ids are the `id` column. A slice of a zip stays part of the audio's path."""

    def __init__(self, config: CorpusConfig, split: str) -> None:
        root = Path(config.root)
        super().__init__(config, split, root=root, audio_dir=root)
        self._tsv = _find_tsv(root, config, split)
        self._columns = read_header(self._tsv, REQUIRED)

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        checker = Checker(self.config, self.split)
        for where, cells in rows(self._tsv, len(self._columns), header=True):
            if isinstance(cells, Rejection):
                yield cells
            else:
                fields = self._fields(where, dict(zip(self._columns, cells, strict=True)))
                yield fields if isinstance(fields, Rejection) else checker.utterance(fields)

    def audio_path(self, utterance: Utterance) -> Path:
        """The audio file, or the zip that holds it."""
        part = _zip_slice(utterance)
        return self._contained(part["file"]) if part else super().audio_path(utterance)

    def load_audio(self, utterance: Utterance) -> NDArray[np.float32]:
        """The waveform of a file, a part of it, or a zip's entry. Raises AudioError."""
        part = _zip_slice(utterance)
        if part is None:
            return super().load_audio(utterance)
        return read_encoded(self._bytes(part), utterance.audio.path)

    def audio_seconds(self, utterance: Utterance) -> float:
        """What the header announces, of a zip's entry too."""
        part = _zip_slice(utterance)
        if part is None:
            return super().audio_seconds(utterance)
        return encoded_seconds(self._bytes(part), utterance.audio.path)

    def _fields(self, where: str, row: dict[str, str]) -> Fields | Rejection:
        if not (row["n_frames"].isascii() and row["n_frames"].isdigit()):
            detail = f"n_frames is a whole number, got {row['n_frames']!r:.80}"
            return reject(where, "malformed_line", detail, id=row["id"])
        part = _SLICE.fullmatch(row["audio"])
        if part is None and _LIKE_A_SLICE.match(row["audio"]):
            detail = f"audio is a path or path:offset:length in whole numbers, got {row['audio']!r:.80}"
            return reject(where, "invalid_segment", detail, id=row["id"])
        segment = part if part and not part["file"].endswith(".zip") else None
        return Fields(
            id=row["id"],
            audio=self._below_root(segment["file"] if segment else row["audio"]),
            offset_s=int(segment["offset"]) / self.config.offset_rate_hz if segment else 0.0,
            duration_s=int(segment["length"]) / self.config.offset_rate_hz if segment else None,
            tgt_text=row["tgt_text"],
            src_text=row.get("src_text"),
            speaker=row.get("speaker"),
            src_lang=row.get("src_lang"),
            tgt_lang=row.get("tgt_lang"),
            where=where,
        )

    def _bytes(self, part: re.Match[str]) -> bytes:
        path, offset, length = self._contained(part["file"]), int(part["offset"]), int(part["length"])
        try:
            size = path.stat().st_size
            if offset + length > size:
                detail = f"{part[0]} ends at byte {offset + length}, {path.name} has {size}"
                raise AudioError("audio_ends_early", detail)
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise AudioError("audio_missing", f"{path.name} cannot be opened ({error.strerror})") from error

    def _metadata_files(self) -> dict[str, Path]:
        return {"manifest": self._tsv}

    def _more_meaning(self) -> dict[str, object]:
        return {"offset_rate_hz": self.config.offset_rate_hz}


def _zip_slice(utterance: Utterance) -> re.Match[str] | None:
    part = _SLICE.fullmatch(utterance.audio.path)
    return part if part and part["file"].endswith(".zip") else None


def _find_tsv(root: Path, config: CorpusConfig, split: str) -> Path:
    pair = f"{config.src_lang}_{config.tgt_lang}"
    names = [f"{split}_st.tsv", f"{split}_st_{pair}.tsv", f"{split}.tsv"]
    if config.manifest is not None:
        if "{split}" not in config.manifest:
            raise CorpusError(
                f"corpus {config.name!r}: manifest {config.manifest!r} would be every split at once; "
                "put {split} where the names of the splits' files differ"
            )
        names = [config.manifest.replace("{split}", split)]
    for name in names:
        if (root / name).is_file():
            return root / name
    found = sorted(path.name for path in root.glob("*.tsv"))[:20]
    raise CorpusError(
        f"corpus {config.name!r} (layout fairseq): looked in {root} for {', '.join(names)}; "
        f"found {found or 'no .tsv file'}. Check root, manifest and the split's name"
    )
