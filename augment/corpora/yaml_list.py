"""A YAML list of small mappings, streamed entry by entry: MuST-C's segment files have 250,000 of them.

All scalars stay strings, as YAML's own guesses (1e-05 is a string, 0123 is octal) serve nobody here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from augment.corpora.lines import decoded, raw_lines

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_PLAIN = r"[\w./+][\w./+\-]*"
_SIMPLE_ENTRY = re.compile(rf"- *\{{({_PLAIN}: {_PLAIN}(?:, {_PLAIN}: {_PLAIN})*)\}}\s*", re.ASCII)
_NOT_AN_ENTRY = (b"", b"---", b"...")
_MAX_ENTRY_BYTES = 4096
"""Longer entries are not parsed: 100,000 nested brackets overflow the C parser's stack and end the process."""


def count_entries(path: Path) -> int:
    """How many entries `entries` yields."""
    return sum(1 for _ in _chunks(path))


def entries(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Every entry as (the line it begins on, its mapping), or the reason in words when it has no mapping."""
    for line, chunk in _chunks(path):
        yield line, _parse(chunk)


def _chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """The bytes of each top-level list entry: from one dash at the list's indent to the next."""
    marker: bytes | None = None
    begin, pending = 0, b""
    for number, raw in enumerate(raw_lines(path), start=1):
        body = raw.strip()
        if marker is None and (body in _NOT_AN_ENTRY or body.startswith((b"#", b"%"))):
            continue
        if marker is None:
            marker = raw[: len(raw) - len(raw.lstrip())] + b"-"
        if raw.startswith(marker) and not raw.startswith(b"---"):
            if pending:
                yield begin, pending
            begin, pending = number, raw
        elif len(pending) <= _MAX_ENTRY_BYTES:
            begin, pending = begin or number, pending + b"\n" + raw
    if pending:
        yield begin, pending


def _parse(chunk: bytes) -> dict[str, str] | str:
    text = decoded(chunk)
    if text is None:
        return "the entry is not UTF-8"
    if len(chunk) > _MAX_ENTRY_BYTES:
        return f"an entry has at most {_MAX_ENTRY_BYTES} bytes, this one has more"
    simple = _SIMPLE_ENTRY.fullmatch(text)
    if simple:
        return dict(pair.split(": ") for pair in simple[1].split(", "))
    try:
        loaded = yaml.load(text, Loader=_Loader)  # noqa: S506 - a BaseLoader makes strings, lists and dicts only
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"the entry is not YAML ({str(error).partition(chr(10))[0]})"
    entry = loaded[0] if isinstance(loaded, list) and len(loaded) == 1 else None
    if not isinstance(entry, dict):
        return "the entry is no mapping such as {duration: 3.5, offset: 16.08, wav: talk.wav}"
    return {key: value for key, value in entry.items() if isinstance(key, str) and isinstance(value, str)}
