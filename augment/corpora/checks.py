"""From the fields of one metadata line to an Utterance, or to the Rejection that says which rule it broke."""

from __future__ import annotations

import math
import posixpath
from dataclasses import dataclass
from hashlib import blake2b

from augment.corpora.config import CorpusConfig
from augment.corpora.lines import clean_text, is_printable
from augment.schema import AudioRef, Rejection, Utterance

LONGEST_S = 1e6
_MAX_ID_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What a layout found in one line, before any rule is checked.

    `audio` is relative to the audio folder, whose own path below the corpus root is `folder`. None of the
    optional fields means that the configuration's value holds.
    """

    id: str
    audio: str
    tgt_text: str
    where: str
    folder: str = ""
    offset_s: float = 0.0
    duration_s: float | None = None
    src_text: str | None = None
    speaker: str | None = None
    src_lang: str | None = None
    tgt_lang: str | None = None
    license: str | None = None


class Checker:
    """Checks the lines of one split in order; it remembers ids only, 8 bytes of hash for each."""

    def __init__(self, config: CorpusConfig, split: str) -> None:
        self._config = config
        self._split = split
        self._seen: set[int] = set()

    def utterance(self, fields: Fields) -> Utterance | Rejection:
        """The Utterance, or a Rejection for the first rule broken; the id of a rejected line stays free."""
        broken = _broken_rule(fields) or self._duplicate(fields.id)
        if broken is not None:
            return reject(fields.where, *broken, id=fields.id)
        return Utterance(
            id=fields.id,
            corpus=self._config.name,
            split=self._split,
            audio=AudioRef(
                path=posixpath.join(fields.folder, posixpath.normpath(fields.audio)),
                offset_s=fields.offset_s,
                duration_s=fields.duration_s,
            ),
            src_lang=_given(fields.src_lang) or self._config.src_lang,
            tgt_lang=_given(fields.tgt_lang) or self._config.tgt_lang,
            src_text=_given(fields.src_text),
            tgt_text=clean_text(fields.tgt_text),
            license=_given(fields.license) or self._config.license,
            speaker=_given(fields.speaker),
        )

    def _duplicate(self, id: str) -> tuple[str, str] | None:
        key = int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "big")
        if key in self._seen:
            return (
                "duplicate_id",
                f"the id {id!r} was used by an earlier line of this split; the first one is kept",
            )
        self._seen.add(key)
        return None


def reject(where: str, reason: str, detail: str, *, id: str = "") -> Rejection:
    """A Rejection at the read stage; a line without a usable id is called by its place."""
    printable = is_printable(id) and len(id) <= _MAX_ID_CHARS
    return Rejection(
        id=id if id and printable else where, stage="read", reason=reason, detail=detail, where=where
    )


def _given(text: str | None) -> str | None:
    return clean_text(text) or None if text is not None else None


def _broken_rule(fields: Fields) -> tuple[str, str] | None:
    return (
        _broken_path(fields.audio)
        or _broken_id(fields.id)
        or _broken_segment(fields.offset_s, fields.duration_s)
        or _broken_text(fields.tgt_text)
    )


def _broken_id(id: str) -> tuple[str, str] | None:
    if id and len(id) <= _MAX_ID_CHARS and is_printable(id) and not _climbs(id):
        return None
    return "invalid_id", (
        f"an id names files, so it has 1 to {_MAX_ID_CHARS} printable characters and is no absolute path "
        f"and no '..': got {id[:_MAX_ID_CHARS]!r}"
    )


def _broken_path(path: str) -> tuple[str, str] | None:
    if not path or not is_printable(path):
        return (
            "invalid_audio_path",
            f"an audio path is a non-empty printable string, got {path[:_MAX_ID_CHARS]!r}",
        )
    if posixpath.isabs(path) or posixpath.normpath(path).split("/")[0] == "..":
        return (
            "audio_outside_root",
            f"audio paths are relative and stay inside the corpus, got {path[:_MAX_ID_CHARS]!r}",
        )
    return None


def _broken_segment(offset_s: float, duration_s: float | None) -> tuple[str, str] | None:
    if not (math.isfinite(offset_s) and 0.0 <= offset_s <= LONGEST_S):
        return (
            "invalid_segment",
            f"a segment's offset is a finite number of seconds from 0 on, got {offset_s}",
        )
    if duration_s is not None and not (math.isfinite(duration_s) and 0.0 < duration_s <= LONGEST_S):
        return (
            "invalid_segment",
            f"a segment's duration is a finite positive number of seconds, got {duration_s}",
        )
    return None


def _broken_text(text: str) -> tuple[str, str] | None:
    if clean_text(text):
        return None
    return "empty_reference", "the translation is empty (control characters and spaces aside)"


def _climbs(id: str) -> bool:
    return id.startswith("/") or ".." in id.replace("\\", "/").split("/")
