"""Records travel between stages as Parquet: equal records give equal bytes, and reading gives them back.

The Arrow schema follows from the dataclass alone. This module knows no particular record.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from augment.atomic import replaced
from lalm.errors import SimulsaError

Record = TypeVar("Record")

_SCALARS: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
}


_HINTS: dict[type[Any], dict[str, Any]] = {}
"""Resolved once per record type: resolving is slower than reading a row."""


class RecordsError(SimulsaError):
    """A record file that does not hold the records it is asked for."""


def write_records(path: Path, records: Iterable[Record], record_type: type[Record]) -> None:
    """Write `records` in the given order, atomically; no time stamp or host enters the bytes."""
    rows = [to_row(_checked(record, record_type)) for record in records]
    table = pa.Table.from_pylist(rows, schema=arrow_schema(record_type))
    with replaced(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_records(path: Path, record_type: type[Record]) -> list[Record]:
    """Read every record back, equal to what was written; raise RecordsError on another schema."""
    table = pq.read_table(path, partitioning=None)
    expected = arrow_schema(record_type)
    if not table.schema.equals(expected):
        raise RecordsError(
            f"{path.name} must hold {record_type.__name__} records with the columns {expected.names}, "
            f"but has {table.schema.names}: rebuild the stage that wrote it"
        )
    return [from_row(row, record_type) for row in table.to_pylist()]


def arrow_schema(record_type: type[Any]) -> pa.Schema:
    """The explicit schema of a dataclass: str, int, float, bool, bytes, optional, tuple, nested dataclass."""
    return pa.schema(_fields(record_type))


def to_row(record: object) -> dict[str, Any]:
    """A plain dict of one record, nested dataclasses as dicts and tuples as lists."""
    return {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}  # type: ignore[arg-type]


def from_row(row: Mapping[str, Any], record_type: type[Record]) -> Record:
    """The record that `to_row` was given."""
    hints = _hints(record_type)
    return record_type(**{name: _typed(row[name], hint) for name, hint in hints.items()})


def _checked(record: Record, record_type: type[Record]) -> Record:
    if type(record) is not record_type:
        raise TypeError(f"expected a {record_type.__name__}, got {record!r}")
    return record


def _hints(record_type: type[Any]) -> dict[str, Any]:
    if record_type not in _HINTS:
        _HINTS[record_type] = get_type_hints(record_type)
    return _HINTS[record_type]


def _fields(record_type: type[Any]) -> list[pa.Field]:
    return [pa.field(name, _arrow_type(hint)) for name, hint in _hints(record_type).items()]


def _arrow_type(hint: Any) -> pa.DataType:
    hint = _without_none(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if get_origin(hint) is Literal:
        return pa.string()
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if dataclasses.is_dataclass(hint):
        return pa.struct(_fields(hint))  # type: ignore[arg-type]
    raise TypeError(f"a record field of type {hint!r} has no Arrow type")


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    return hint


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_row(value)
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    return value


def _typed(value: Any, hint: Any) -> Any:
    hint = _without_none(hint)
    if value is None:
        return None
    if get_origin(hint) is tuple:
        return tuple(_typed(element, get_args(hint)[0]) for element in value)
    if dataclasses.is_dataclass(hint):
        return from_row(value, hint)  # type: ignore[arg-type]
    return value
