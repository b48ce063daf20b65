"""Lines of text files as they really are: BOM, CRLF, bytes that are not UTF-8, control characters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BOM = b"\xef\xbb\xbf"


def raw_lines(path: Path) -> Iterator[bytes]:
    """Every line's bytes without BOM and line end; only LF (or CRLF) ends a line. Constant memory."""
    with path.open("rb") as file:
        for index, raw in enumerate(file):
            yield (raw.removeprefix(_BOM) if index == 0 else raw).removesuffix(b"\n").removesuffix(b"\r")


def decoded(raw: bytes) -> str | None:
    """The line as text, or None when it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def count_lines(path: Path) -> int:
    """How many lines `raw_lines` yields; an unfinished last line counts."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def clean_text(text: str) -> str:
    """The text with each run of control characters or line separators made one space, and its ends trimmed.

    Nothing else is touched: no case, no Unicode normalisation, no punctuation.
    """
    return _UNPRINTABLE.sub(" ", text).strip()


def is_printable(text: str) -> bool:
    """Whether the text holds no control character, no line separator and no lone surrogate."""
    return _UNPRINTABLE.search(text) is None


def file_sha256(path: Path) -> str:
    """The sha256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
