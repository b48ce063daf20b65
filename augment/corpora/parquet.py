"""Any dataset with an Audio column: Parquet shards in a folder, or on the Hub (`hf://datasets/owner/name@revision`).

A split's shards are `{split}.parquet`, `{split}-00000-of-00002.parquet` or `{split}/*.parquet`, or what `files` says;
`columns` says what they hold. Audio is a struct of bytes and path (what `datasets` writes), bytes, or a path below
root. Texts are read in batches, audio row by row when it is used; shards on the Hub are downloaded when reached.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.audio import AudioError
from augment.corpora.base import CorpusError, FileCorpus
from augment.corpora.checks import Checker, Fields, reject
from augment.corpora.config import HUB_PREFIX, CorpusConfig
from augment.corpora.parquet_rows import ParquetDamageError, ParquetShard, Row
from augment.corpora.parquet_shards import HubShards, LocalShards, Shards
from augment.corpora.sound import encoded_seconds, read_encoded
from augment.schema import Rejection, Utterance

_PLACE = re.compile(r"(?P<shard>.+\.parquet):(?P<group>[0-9]{1,9}):(?P<index>[0-9]{1,12})", re.DOTALL)
_TEXTS = ("src_text", "speaker", "src_lang", "tgt_lang", "license")


class ParquetCorpus(FileCorpus):
    """One split; the path of embedded audio is `shard:row group:row in it`.

    Ids are the `id` column if there is one, else the stem of the audio's path, else `{shard}_{row}`.
    """

    def __init__(self, config: CorpusConfig, split: str) -> None:
        root = Path(config.root)
        super().__init__(config, split, root=root, audio_dir=root)
        self._on_hub = config.root.startswith(HUB_PREFIX)
        self._shards: Shards = HubShards(config, split) if self._on_hub else LocalShards(config, split)
        self._digest: str | None = None
        if not self._on_hub:
            self._check_first_columns()

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        checker = Checker(self.config, self.split)
        for name in self._shards.names:
            try:
                with ParquetShard(self._shards.path(name)) as shard:
                    for fields in self._all_fields(shard, name):
                        yield fields if isinstance(fields, Rejection) else checker.utterance(fields)
            except ParquetDamageError as error:
                yield reject(name, "unreadable_shard", f"{name} cannot be read: {error}; copy it again")
            except AudioError as error:
                yield reject(name, error.reason, error.detail)

    def digest(self) -> str:
        """The sha256 of what is read from the rows, in order, and of the settings; the audio's bytes stay unread."""
        if self._digest is None:
            rows = hashlib.sha256()
            for entry in self:
                rows.update(json.dumps(_essence(entry)).encode())
            self._rows_sha256 = rows.hexdigest()
            self._digest = super().digest()
        return self._digest

    def audio_path(self, utterance: Utterance) -> Path:
        """The shard that holds the utterance's audio, or its own file."""
        place = _PLACE.fullmatch(utterance.audio.path)
        return self._shards.path(place["shard"]) if place else super().audio_path(utterance)

    def load_audio(self, utterance: Utterance) -> NDArray[np.float32]:
        """The waveform of a row, or of the file it names. Raises AudioError."""
        place = _PLACE.fullmatch(utterance.audio.path)
        if place is None:
            return super().load_audio(utterance)
        return read_encoded(self._bytes(place), utterance.audio.path)

    def audio_seconds(self, utterance: Utterance) -> float:
        """What the header of the row's audio announces."""
        place = _PLACE.fullmatch(utterance.audio.path)
        if place is None:
            return super().audio_seconds(utterance)
        return encoded_seconds(self._bytes(place), utterance.audio.path)

    def _bytes(self, place: re.Match[str]) -> bytes:
        try:
            with ParquetShard(self._shards.path(place["shard"])) as shard:
                column, _ = self._audio_leaves(shard)
                cell = shard.cell(
                    int(place["group"]), int(place["index"]), column or self.config.columns.audio
                )
        except (ParquetDamageError, IndexError, KeyError) as error:
            raise AudioError("audio_undecodable", f"{place[0]} cannot be read ({error})") from error
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(data, bytes):
            raise AudioError("audio_missing", f"{place[0]} holds no audio bytes")
        return data

    def _all_fields(self, shard: ParquetShard, name: str) -> Iterator[Fields | Rejection]:
        """A result for each row. Raises CorpusError when the first shard is not as configured."""
        wrong = self._wrong_columns(shard, name)
        if wrong is not None:
            if name == self._shards.names[0]:
                raise CorpusError(wrong)
            for number in range(shard.num_rows):
                yield reject(f"{name}:{number}", "missing_column", wrong)
            return
        audio, leaves = self._audio_leaves(shard)
        embedded = audio is not None and shard.holds_any(audio)
        for row in shard.rows(leaves):
            yield self._fields(name, row, embedded=embedded)

    def _fields(self, shard: str, row: Row, *, embedded: bool) -> Fields | Rejection:
        where = f"{shard}:{row.number}"
        if row.damage is not None:
            return reject(where, "unreadable_row", row.damage)
        names = self.config.columns
        audio = _at(row.cells, names.audio)
        path = audio.get("path") if isinstance(audio, dict) else audio
        id = _at(row.cells, names.id) if names.id else None
        texts = {role: _at(row.cells, name) for role in _TEXTS if (name := getattr(names, role))}
        tgt_text = _at(row.cells, names.tgt_text)
        broken = _broken_cells(id, path, {"tgt_text": tgt_text, **texts})
        if broken is not None:
            return reject(where, *broken, id=id if isinstance(id, str) else "")
        if self._on_hub and not embedded:
            return reject(
                where, "audio_missing", f"the row names the file {path!r:.80} but holds no audio bytes"
            )
        stem = PurePosixPath(path or "").stem or f"{shard.removesuffix('.parquet')}_{row.number}"
        return Fields(
            id=stem if id is None else str(id),
            audio=f"{shard}:{row.group}:{row.index}" if embedded else self._below_root(path or ""),
            tgt_text=tgt_text,
            where=where,
            **texts,
        )

    def _audio_leaves(self, shard: ParquetShard) -> tuple[str | None, list[str]]:
        """The leaf that holds audio bytes, None if the column holds paths, and the leaves to read for metadata."""
        names = self.config.columns
        wanted = [names.tgt_text, *(getattr(names, role) for role in ("id", *_TEXTS))]
        kind = shard.kind_of(names.audio)
        has_path = f"{names.audio}.path" in shard.columns
        audio = {"struct": [f"{names.audio}.path"] if has_path else [], "path": [names.audio]}.get(kind, [])
        leaf = f"{names.audio}.bytes" if kind == "struct" else names.audio
        return (leaf if kind != "path" else None), [*filter(None, wanted), *audio]

    def _check_first_columns(self) -> None:
        """Refuse a wrong mapping before any work; a damaged first shard is told later, as a Rejection."""
        name = self._shards.names[0]
        try:
            with ParquetShard(self._shards.path(name)) as shard:
                wrong = self._wrong_columns(shard, name)
        except (ParquetDamageError, AudioError):
            return
        if wrong is not None:
            raise CorpusError(wrong)

    def _wrong_columns(self, shard: ParquetShard, name: str) -> str | None:
        corpus = f"corpus {self.config.name!r} (layout parquet)"
        mapped = self.config.columns.model_dump(exclude_none=True)
        absent = {role: column for role, column in mapped.items() if shard.columns.count(column) != 1}
        if absent:
            return (
                f"{corpus}: {name} lacks the columns {absent}, or has them twice; it holds {shard.columns[:40]}. "
                "Set columns in the configuration"
            )
        kind = shard.kind_of(mapped["audio"])
        if kind in ("struct", "bytes", "path"):
            return None
        return (
            f"{corpus}: column {mapped['audio']!r} of {name} is {kind}; audio is a struct with bytes, bytes, or a "
            f"path; columns with bytes: {shard.audio_columns}"
        )

    def _metadata_digests(self) -> dict[str, str]:
        return {"rows": self._rows_sha256}

    def _more_meaning(self) -> dict[str, object]:
        return {"columns": self.config.columns.model_dump()}


def _at(cells: dict[str, Any], column: str) -> Any:
    """The value of a column, or of the field inside one that a dot names."""
    if column in cells:
        return cells[column]
    value: Any = cells
    for part in column.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _broken_cells(id: Any, path: Any, texts: dict[str, Any]) -> tuple[str, str] | None:
    if texts["tgt_text"] is None:
        return "missing_field", "the row has no translation"
    if isinstance(id, bool) or not isinstance(id, str | int | None):
        return "malformed_line", f"id is a string or an integer, got {id!r:.80}"
    for role, value in {"audio": path, **texts}.items():
        if not isinstance(value, str | None):
            return "malformed_line", f"{role} is a string, got {value!r:.80}"
    return None


def _essence(entry: Utterance | Rejection) -> list[object]:
    if isinstance(entry, Rejection):
        return [entry.where, entry.reason]
    texts = [entry.src_lang, entry.tgt_lang, entry.src_text, entry.tgt_text, entry.license, entry.speaker]
    return [entry.id, entry.audio.path, *texts]
