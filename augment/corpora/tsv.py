"""Lines of a TSV: cells, and what is wrong with a line that has too few, too many, or no text.

Quotes are plain characters, as in all corpora that are read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from augment.corpora.base import CorpusError
from augment.corpora.checks import reject
from augment.corpora.lines import decoded, raw_lines
from augment.schema import Rejection


def rows(tsv: Path, columns: int, *, header: bool) -> Iterator[tuple[str, list[str] | Rejection]]:
    """Every line after the header, if there is one, as (where, its cells or why it has none)."""
    for number, raw in enumerate(raw_lines(tsv), start=1):
        if number > 1 or not header:
            where = f"{tsv.name}:{number}"
            yield where, _split_cells(raw, where, columns)


def header_of(tsv: Path) -> list[str]:
    """The names in the first line; none of them is checked."""
    return [name.strip() for name in (decoded(next(raw_lines(tsv), b"")) or "").split("\t")]


def read_header(tsv: Path, required: Iterable[str]) -> list[str]:
    """The names of the columns. Raises CorpusError when a required one is missing or any is named twice."""
    columns = header_of(tsv)
    missing = set(required).difference(columns)
    if missing:
        raise CorpusError(f"{tsv} lacks the columns {sorted(missing)}; its first line holds {columns[:20]}")
    if len(set(columns)) != len(columns):
        raise CorpusError(f"{tsv} names a column twice: {columns[:20]}")
    return columns


def _split_cells(raw: bytes, where: str, expected: int) -> list[str] | Rejection:
    text = decoded(raw)
    if text is None:
        return reject(where, "undecodable_utf8", "the line is not UTF-8; save the file as UTF-8")
    cells = text.split("\t")
    if len(cells) == expected:
        return cells
    return reject(
        where, "malformed_line", f"a line has {expected} tab-separated columns, this one {len(cells)}"
    )
