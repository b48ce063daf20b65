"""A JSONL manifest: one object per line, audio paths relative to the manifest's folder.

Fields: audio and tgt_text; optional id, offset_s, duration_s, src_text, src_lang, tgt_lang, split, speaker,
license. Other keys are allowed and ignored. Looked for below root: `manifest` of the configuration, else
`{split}.jsonl`, else `manifest.jsonl`, in which a line without `split` belongs to the training split.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from augment.corpora.base import CorpusError, FileCorpus
from augment.corpora.checks import Checker, Fields, reject
from augment.corpora.config import CorpusConfig
from augment.corpora.lines import decoded, raw_lines
from augment.schema import Rejection, Utterance

_STRINGS = ("src_text", "src_lang", "tgt_lang", "split", "speaker", "license")


class JsonlCorpus(FileCorpus):
    """A split; ids are the `id` field, or the audio's path without suffix (and its offset in ms).

    In a manifest that holds all splits, a line too damaged to tell its split is a Rejection of each of them.
    """

    def __init__(self, config: CorpusConfig, split: str) -> None:
        self._manifest, self._per_split = _find_manifest(config, split)
        root = Path(config.root) if Path(config.root).is_dir() else self._manifest.parent
        super().__init__(config, split, root=root, audio_dir=root)
        folder = self._manifest.parent.relative_to(root).as_posix()
        self._folder = "" if folder == "." else folder
        if not self._per_split:
            self._check_split_exists()

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        checker = Checker(self.config, self.split)
        for where, record in self._records():
            if isinstance(record, Rejection):
                yield record
            elif self._belongs(record):
                fields = self._fields(where, record)
                yield fields if isinstance(fields, Rejection) else checker.utterance(fields)

    def _belongs(self, record: dict[str, Any]) -> bool:
        return self._per_split or _split_of(record, self.config) == self.split

    def _fields(self, where: str, record: dict[str, Any]) -> Fields | Rejection:
        broken = _broken_types(record) or self._broken_split(record)
        if broken is not None:
            id = record.get("id")
            return reject(where, *broken, id=id if isinstance(id, str) else "")
        offset_s = _seconds(record.get("offset_s") or 0.0)
        duration_s = record.get("duration_s")
        return Fields(
            id=_id_of(record, offset_s),
            audio=posixpath.join(self._folder, record["audio"]) if record["audio"] else "",
            offset_s=offset_s,
            duration_s=None if duration_s is None else _seconds(duration_s),
            tgt_text=record["tgt_text"],
            where=where,
            src_text=record.get("src_text"),
            speaker=record.get("speaker"),
            src_lang=record.get("src_lang"),
            tgt_lang=record.get("tgt_lang"),
            license=record.get("license"),
        )

    def _broken_split(self, record: dict[str, Any]) -> tuple[str, str] | None:
        named = record.get("split")
        if named is None or named == self.split:
            return None
        return "wrong_split", f"the line says split {named!r} but lies in the manifest of {self.split!r}"

    def _records(self) -> Iterator[tuple[str, dict[str, Any] | Rejection]]:
        """Every line, as (where, its object or why it has none)."""
        for number, raw in enumerate(raw_lines(self._manifest), start=1):
            where = f"{self._manifest.name}:{number}"
            yield where, _parse(raw, where)

    def _metadata_files(self) -> dict[str, Path]:
        return {"manifest": self._manifest}

    def _check_split_exists(self) -> None:
        found: set[str] = set()
        for _, record in self._records():
            if not isinstance(record, Rejection):
                found.add(str(_split_of(record, self.config)))
                if self._belongs(record):
                    return
        raise CorpusError(
            f"{self._manifest} has no line of split {self.split!r}; it holds: {sorted(found)[:20]}"
        )


def _split_of(record: dict[str, Any], config: CorpusConfig) -> object:
    named = record.get("split")
    return config.train_split if named is None else named


def _id_of(record: dict[str, Any], offset_s: float) -> str:
    if record.get("id") is not None:
        return str(record["id"])
    stem = PurePosixPath(record["audio"]).with_suffix("").as_posix() if record["audio"].strip("./") else ""
    return f"{stem}_{offset_s * 1000:.0f}" if offset_s else stem


def _seconds(value: float) -> float:
    """The number as a float; an integer too large for one is infinite, which no rule accepts."""
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _parse(raw: bytes, where: str) -> dict[str, Any] | Rejection:
    text = decoded(raw)
    if text is None:
        return reject(where, "undecodable_utf8", "the line is not UTF-8; save the file as UTF-8")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        return reject(where, "malformed_line", f"the line is not JSON ({error})")
    if isinstance(record, dict):
        return record
    return reject(where, "malformed_line", f"a line is a JSON object, this one a {type(record).__name__}")


def _broken_types(record: dict[str, Any]) -> tuple[str, str] | None:
    missing = [key for key in ("audio", "tgt_text") if record.get(key) is None]
    if missing:
        return "missing_field", f"a line needs audio and tgt_text; this one lacks {missing}"
    for key in ("audio", "tgt_text", *_STRINGS):
        if not isinstance(record.get(key), str | None):
            return "malformed_line", f"{key} is a string, got {record[key]!r:.80}"
    for key in ("offset_s", "duration_s"):
        value = record.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            return "malformed_line", f"{key} is a number of seconds, got {value!r:.80}"
    if isinstance(record.get("id"), bool) or not isinstance(record.get("id"), str | int | None):
        return "malformed_line", f"id is a string or an integer, got {record['id']!r:.80}"
    return None


def _find_manifest(config: CorpusConfig, split: str) -> tuple[Path, bool]:
    """The manifest that holds the split, and whether it holds that split alone."""
    root = Path(config.root)
    if root.is_file():
        return root, False
    if config.manifest is not None:
        candidates = [(config.manifest.replace("{split}", split), "{split}" in config.manifest)]
    else:
        candidates = [(f"{split}.jsonl", True), ("manifest.jsonl", False)]
    for name, per_split in candidates:
        if (root / name).is_file():
            return root / name, per_split
    found = sorted(path.relative_to(root).as_posix() for path in root.glob("*.jsonl"))[:20]
    raise CorpusError(
        f"corpus {config.name!r} (layout jsonl): looked in {root} for "
        f"{' or '.join(name for name, _ in candidates)}; "
        f"found {found or 'no .jsonl file'}. Check root, manifest and the split's name"
    )
