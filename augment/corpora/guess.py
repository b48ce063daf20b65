"""Guess a folder's layout from its names and first lines, and say which signs were seen. Reads no audio."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from augment.corpora.base import CorpusError
from augment.corpora.config import CorpusConfig, Layout
from augment.corpora.fairseq import REQUIRED
from augment.corpora.fleurs import COLUMNS as FLEURS_COLUMNS
from augment.corpora.lines import decoded, raw_lines
from augment.corpora.parquet_rows import ParquetDamageError, ParquetShard
from augment.corpora.tsv import header_of

_DEPTH = 6
_USUAL = ("train", "dev", "test")
_UNKNOWN = "und"  # ISO 639-2 for an undetermined language
_SIGNS = {
    "covost2": "covost_v2.<src>_<tgt>.*.tsv, or a .tsv with the columns path and translation",
    "iwslt": "<split>/txt/<split>.yaml",
    "europarl_st": "<src>/<tgt>/<split>/segments.lst",
    "fleurs": "<language>/<split>.tsv of seven columns without a header, in two languages",
    "fairseq": f"a .tsv with the columns {', '.join(REQUIRED)}",
    "parquet": "<split>*.parquet or <split>/*.parquet",
    "jsonl": "a .jsonl with audio and tgt_text",
}
_COLUMN_NAMES = {
    "tgt_text": ("tgt_text", "translation", "target_text", "target", "tgt"),
    "src_text": ("src_text", "sentence", "transcription", "transcript", "source_text", "text", "src"),
    "id": ("id", "utt_id"),
    "speaker": ("speaker", "speaker_id", "client_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A layout that a folder may have: the signs of it, its splits, its language pairs, settings that follow."""

    layout: Layout
    signs: tuple[str, ...]
    splits: tuple[str, ...]
    pairs: frozenset[tuple[str, str]] = frozenset()
    settings: dict[str, Any] = field(default_factory=dict)


def guess_corpus(
    root: Path, *, layout: Layout | None = None, src: str | None = None, tgt: str | None = None
) -> tuple[CorpusConfig, Guess]:
    """The configuration that would read this folder, and why. Raises CorpusError when the signs are not clear."""
    names = sorted(_files(root))
    guesses = [guess for find in _FINDERS if (guess := find(root, names)) is not None]
    fitting = [guess for guess in guesses if layout in (None, guess.layout)]
    if len(fitting) != 1:
        raise CorpusError(_unclear(root, names, layout, guesses))
    guess = fitting[0]
    src, tgt = _pair(root, guess, src, tgt)
    place = {"name": root.resolve().name or "corpus", "layout": guess.layout, "root": str(root)}
    try:
        config = CorpusConfig.model_validate(place | {"src_lang": src, "tgt_lang": tgt, **guess.settings})
    except ValidationError as error:
        wrong = "; ".join(
            f"{detail['loc'][0]} is {detail['input']!r}: {detail['msg']}" for detail in error.errors()
        )
        raise CorpusError(f"{root} ({guess.layout}) cannot be configured: {wrong}") from None
    return config, guess


def _files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        place = Path(folder).relative_to(root)
        if len(place.parts) >= _DEPTH:
            folders.clear()
        yield from ((place / file).as_posix() for file in files)


def _pair(root: Path, guess: Guess, src: str | None, tgt: str | None) -> tuple[str, str]:
    if not guess.pairs:
        return src or _UNKNOWN, tgt or _UNKNOWN
    fitting = sorted(pair for pair in guess.pairs if src in (None, pair[0]) and tgt in (None, pair[1]))
    if len(fitting) == 1:
        return fitting[0]
    if src is not None and tgt is not None:
        return src, tgt  # the reader says what it looked for
    shown = ", ".join(f"{a}-{b}" for a, b in sorted(guess.pairs)[:20])
    raise CorpusError(
        f"{root} ({guess.layout}) has these language pairs: {shown}; choose with --src and --tgt"
    )


def _unclear(root: Path, names: list[str], layout: Layout | None, guesses: list[Guess]) -> str:
    if guesses and layout is None:
        seen = "; ".join(f"{guess.layout} ({', '.join(guess.signs[:3])})" for guess in guesses)
        return f"{root} has signs of several layouts: {seen}. Choose one with --layout"
    wanted = _SIGNS if layout is None else {layout: _SIGNS[layout]}
    looked_for = "; ".join(f"{name}: {sign}" for name, sign in wanted.items())
    found = names[:20] or "no file"
    return f"{root} has no sign of a layout that simulsa reads. Looked for {looked_for}. Found {found}"


def _covost2(root: Path, names: list[str]) -> Guess | None:
    named = [
        m for name in names if (m := re.fullmatch(r"covost_v2\.([\w-]+)_([\w-]+?)(?:\.(.+))?\.tsv", name))
    ]
    if named:
        splits = _in_order(split for m in named for split in ([m[3]] if m[3] else _USUAL))
        pairs = frozenset((m[1], m[2]) for m in named)
        return Guess(layout="covost2", signs=tuple(m[0] for m in named), splits=splits, pairs=pairs)
    plain = [name for name in _top(names, ".tsv") if {"path", "translation"} <= set(header_of(root / name))]
    return _of_files("covost2", plain, [name.removesuffix(".tsv") for name in plain])


def _fairseq(root: Path, names: list[str]) -> Guess | None:
    found = [name for name in _top(names, ".tsv") if set(REQUIRED) <= set(header_of(root / name))]
    split_of = re.compile(r"(.+?)(?:_st)?(?:_([a-z]{2,3})_([a-z]{2,3}))?\.tsv")
    return _of_files("fairseq", found, [m[1] for name in found if (m := split_of.fullmatch(name))])


def _iwslt(_: Path, names: list[str]) -> Guess | None:
    found = [m for name in names if (m := re.fullmatch(r"(.*/)?([^/]+)/txt/\2\.yaml", name))]
    if not found:
        return None
    codes = re.compile(r"(?:.*/)?([\w]{2,3})-([\w]{2,3})/.*")
    pairs = {(p[1], p[2]) for m in found if (p := codes.fullmatch(m[0]))} or {
        pair for m in found for pair in _text_pairs(m[0].removesuffix("yaml"), names)
    }
    signs = tuple(m[0] for m in found)
    return Guess(layout="iwslt", signs=signs, splits=_in_order(m[2] for m in found), pairs=frozenset(pairs))


def _text_pairs(prefix: str, names: list[str]) -> Iterator[tuple[str, str]]:
    langs = [n.removeprefix(prefix) for n in names if n.startswith(prefix) and not n.endswith(".yaml")]
    yield from ((a, b) for a in langs for b in langs if a != b)


def _europarl_st(_: Path, names: list[str]) -> Guess | None:
    pattern = re.compile(r"(?:v1\.1/)?([^/]+)/([^/]+)/([^/]+)/segments\.lst")
    found = [m for name in names if (m := pattern.fullmatch(name))]
    if not found:
        return None
    pairs = frozenset((m[1], m[2]) for m in found)
    signs = tuple(m[0] for m in found)
    return Guess(layout="europarl_st", signs=signs, splits=_in_order(m[3] for m in found), pairs=pairs)


def _fleurs(root: Path, names: list[str]) -> Guess | None:
    pattern = re.compile(r"(?:data/)?(\w+_\w+)/(\w+)\.tsv")
    named = [m for name in names if (m := pattern.fullmatch(name))]
    found = [m for m in named if len(header_of(root / m[0])) == FLEURS_COLUMNS]
    langs = sorted({m[1].partition("_")[0] for m in found})
    if len(langs) < 2:
        return None
    pairs = frozenset((a, b) for a in langs for b in langs if a != b)
    signs = tuple(m[0] for m in found)
    return Guess(layout="fleurs", signs=signs, splits=_in_order(m[2] for m in found), pairs=pairs)


def _parquet(root: Path, names: list[str]) -> Guess | None:
    found = [name for name in names if name.endswith(".parquet")]
    pattern = re.compile(r"(?:.*/)?(?:([A-Za-z][\w]*?)(?:[-.]?\d+.*)?\.parquet|([\w-]+)/\d+\.parquet)")
    splits = [m[1] or m[2] for name in found if (m := pattern.fullmatch(name))]
    if not splits:
        return None
    columns = {"columns": _columns_of(root / found[0])}
    return Guess(layout="parquet", signs=tuple(found), splits=_in_order(splits), settings=columns)


def _columns_of(path: Path) -> dict[str, str]:
    """Which columns look like what; nothing where the file cannot be read or none does."""
    try:
        with ParquetShard(path) as shard:
            audio = shard.audio_columns[:1]
            columns = {
                role: next(filter(shard.columns.__contains__, usual), None)
                for role, usual in _COLUMN_NAMES.items()
            }
    except (ParquetDamageError, pa.ArrowException):
        return {}
    return {role: name for role, name in columns.items() if name} | ({"audio": audio[0]} if audio else {})


def _jsonl(root: Path, names: list[str]) -> Guess | None:
    found = [name for name in _top(names, ".jsonl") if {"audio", "tgt_text"} <= _keys(root / name)]
    splits = [
        split
        for name in found
        for split in (_USUAL if name == "manifest.jsonl" else [name.removesuffix(".jsonl")])
    ]
    return _of_files("jsonl", found, splits)


def _keys(path: Path) -> set[str]:
    try:
        first = json.loads(decoded(next(raw_lines(path), b"")) or "null")
    except (ValueError, RecursionError):
        return set()
    return set(first) if isinstance(first, dict) else set()


def _of_files(layout: Layout, found: list[str], splits: list[str]) -> Guess | None:
    return Guess(layout=layout, signs=tuple(found), splits=_in_order(splits)) if found else None


def _top(names: list[str], suffix: str) -> list[str]:
    return [name for name in names if name.endswith(suffix) and "/" not in name]


def _in_order(splits: Iterable[str]) -> tuple[str, ...]:
    """Distinct names, training first, then as they are usually listed."""
    order = {name: rank for rank, name in enumerate(("train", "dev", "valid", "validation", "test"))}
    return tuple(sorted(set(splits), key=lambda name: (order.get(name, len(order)), name)))


_FINDERS: tuple[Callable[[Path, list[str]], Guess | None], ...] = (
    _covost2, _iwslt, _europarl_st, _fleurs, _fairseq, _parquet, _jsonl,
)  # fmt: skip
