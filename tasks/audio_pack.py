"""Audio between stages: one Parquet file of (id, FLAC bytes), in id order, so that equal audio gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema([("id", pa.string()), ("flac", pa.binary())])


def write_audio(path: Path, audio: Mapping[str, bytes]) -> None:
    """Write FLAC bytes by utterance id."""
    ids = sorted(audio)
    table = pa.table({"id": ids, "flac": [audio[id] for id in ids]}, schema=SCHEMA)
    pq.write_table(table, path, compression="none", use_dictionary=False)


def read_audio(path: Path) -> dict[str, bytes]:
    """Read back what `write_audio` wrote."""
    table = pq.read_table(path, partitioning=None)
    return dict(zip(table["id"].to_pylist(), table["flac"].to_pylist(), strict=True))
