"""Rows of one Parquet file as they really are: texts in batches, audio by random access; damage has a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 1024
AUDIO_BATCH_ROWS = 16
_BUFFER_BYTES = 1 << 20
_ERRORS = (pa.ArrowException, OSError, ValueError)  # ValueError: names in a damaged footer that are not UTF-8


class ParquetDamageError(Exception):
    """A Parquet file, or a part of it, that cannot be read; the message says why, without a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: its place and its cells by column; `damage` says why it has none."""

    group: int
    index: int
    number: int
    cells: dict[str, Any]
    damage: str | None = None


class ParquetShard:
    """An open Parquet file; its footer has been read, nothing else. Not to be shared by threads."""

    columns: list[str]
    """The names of columns, and of the fields inside struct columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES)
            self._schema = self._file.schema_arrow
            self.columns = _names(self._schema)
            metadata, size = self._file.metadata, path.stat().st_size
            groups = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        except _ERRORS as error:
            raise ParquetDamageError(f"it is no whole Parquet file ({_why(error, path)})") from error
        if not groups == metadata.num_rows <= size:
            raise ParquetDamageError(
                f"its footer claims {metadata.num_rows} rows, {groups} in its row groups, in {size} bytes"
            )

    def __enter__(self) -> ParquetShard:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    @property
    def num_rows(self) -> int:
        """How many rows the footer counts."""
        return int(self._file.metadata.num_rows)

    @property
    def audio_columns(self) -> list[str]:
        """The columns of bytes, or of structs that hold bytes."""
        return [field.name for field in self._schema if _holds_bytes(field.type)]

    def kind_of(self, column: str) -> str:
        """`struct` (with bytes and path, an Audio column), `bytes`, `path`, or the name of another type."""
        if column not in self._schema.names:
            return "a field inside another"
        kind = self._schema.field(column).type
        if pa.types.is_struct(kind):
            return "struct" if _holds_bytes(kind) else str(kind)
        if _holds_bytes(kind):
            return "bytes"
        return "path" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)

    def holds_any(self, column: str) -> bool:
        """Whether any row has a value there: it reads up to the first that has one. True when damage hides the answer.

        The footer's statistics would say it too, but Arrow ends the process over a damaged footer's column metadata.
        """
        try:
            batches = self._file.iter_batches(AUDIO_BATCH_ROWS, columns=[column])
            return any(
                cell.as_py() is not None for batch in batches for cell in _leaf(batch.column(0), column)
            )
        except _ERRORS:
            return True

    def rows(self, columns: list[str]) -> Iterator[Row]:
        """Every row with the named columns, and no other column is read."""
        number = 0
        for group in range(self._file.metadata.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            for index, (cells, damage) in enumerate(self._cells(group, count, columns)):
                yield Row(group=group, index=index, number=number + index, cells=cells, damage=damage)
            number += count

    def cell(self, group: int, index: int, column: str) -> Any:
        """One cell, read without the rows after it. Raises ParquetDamageError, IndexError without such a row."""
        try:
            batches = self._file.iter_batches(AUDIO_BATCH_ROWS, row_groups=[group], columns=[column])
            for start, batch in enumerate(batches):
                if index < (start + 1) * AUDIO_BATCH_ROWS:
                    return batch.column(0)[index - start * AUDIO_BATCH_ROWS].as_py()
        except _ERRORS as error:
            if isinstance(error, IndexError):
                raise
            raise ParquetDamageError(_why(error, self._path)) from error
        raise IndexError(index)

    def _cells(
        self, group: int, count: int, columns: list[str]
    ) -> Iterator[tuple[dict[str, Any], str | None]]:
        read = 0
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                for cells in islice(_cells_of(batch), count - read):
                    yield cells
                    read += 1
        except _ERRORS as error:
            damage = f"its row group {group} cannot be read ({_why(error, self._path)})"
        else:
            damage = f"its row group {group} ends early"
        for _ in range(count - read):
            yield {}, damage


def _cells_of(batch: Any) -> Iterator[tuple[dict[str, Any], str | None]]:
    try:
        yield from ((cells, None) for cells in batch.to_pylist())
    except UnicodeDecodeError:
        yield from (_cells_of_one(batch.slice(index, 1)) for index in range(batch.num_rows))


def _cells_of_one(row: Any) -> tuple[dict[str, Any], str | None]:
    try:
        return row.to_pylist()[0], None
    except UnicodeDecodeError:
        return {}, "a text of it is not UTF-8"


def _leaf(column: Any, name: str) -> Any:
    """The array itself, or the one field of it that was read."""
    return column.field(0) if "." in name and pa.types.is_struct(column.type) else column


def _names(schema: Any) -> list[str]:
    inner = [f"{f.name}.{child.name}" for f in schema if pa.types.is_struct(f.type) for child in f.type]
    return [*schema.names, *inner]


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(child.name == "bytes" and _holds_bytes(child.type) for child in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _why(error: Exception, path: Path) -> str:
    """The first line of what Arrow says, without the path: it would differ from machine to machine."""
    return str(error).partition("\n")[0].replace(str(path), path.name)
