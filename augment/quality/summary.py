"""What the checks found in a finished dataset: rows per flag, drops per rule, histograms; as JSON and for a card."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from augment.quality.config import FLAGS
from augment.records import read_records
from augment.schema import Rejection

_EDGES = {
    "kept audio in seconds": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, math.inf),
    "length ratio": (0.0, 0.01, 0.25, 0.5, 0.75, 1.0, 2.0, 4.0, math.inf),
    "language probability": (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, math.inf),
    "estimated quality": (-math.inf, 0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, math.inf),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Rows per interval; `edges[i] <= value < edges[i + 1]`, so there is one edge more than counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySummary:
    """`language_checked` counts rows with a language probability: none where lingua was not asked or is absent.

    `qe_checked` counts rows with a quality estimate by the model that gave it: none where no such model was named, or
    no source text is known.
    """

    rows: int
    flagged: int
    flags: dict[str, int]
    dropped: dict[str, int]
    language_checked: int
    qe_checked: dict[str, int]
    histograms: dict[str, Histogram]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the open end of a histogram is null."""
        bins = {
            name: [
                {"from": _or_null(low), "to": _or_null(high), "rows": count}
                for low, high, count in zip(shape.edges, shape.edges[1:], shape.counts, strict=False)
            ]
            for name, shape in self.histograms.items()
        }
        return {
            "rows": self.rows, "flagged": self.flagged, "flags": self.flags, "dropped": self.dropped,
            "language_checked": self.language_checked, "qe_checked": self.qe_checked, "histograms": bins,
        }  # fmt: skip

    def to_markdown(self) -> str:
        """Tables for a dataset card, under a heading of the second level."""
        lines = ["## Quality", "", f"{self.flagged} of {self.rows} rows carry a flag (`qc.flags`).", ""]
        lines += ["| check | rows flagged | inputs dropped |", "|---|---:|---:|"]
        lines += [f"| `{flag}` | {self.flags[flag]} | {self.dropped[flag]} |" for flag in self.flags]
        lines += ["", self._language_sentence(), self._estimate_sentence()]
        for name, shape in self.histograms.items():
            lines += ["", f"| {name} | rows |", "|---|---:|", *_table(shape)]
        return "\n".join(lines) + "\n"

    def _language_sentence(self) -> str:
        if self.language_checked:
            return f"The language of {self.language_checked} rows was identified by lingua (`qc.lid_prob`)."
        return "No row's language was identified: `qc.lid_prob` is null and `other_language` was not checked."

    def _estimate_sentence(self) -> str:
        if not self.qe_checked:
            return "No quality estimation was run: `qc.qe_score` is null and `low_qe` was not checked."
        models = " and ".join(f"`{model}` for {count} rows" for model, count in self.qe_checked.items())
        left = self.rows - sum(self.qe_checked.values())
        without = f"; {left} rows have none, as their source text is not known" if left else ""
        return f"The quality of the drafts was estimated by {models} (`qc.qe_score`){without}."


def summarise_quality(dataset_dir: Path, shards: Iterable[str]) -> QualitySummary:
    """Read the columns that hold the evidence (never the audio), a batch at a time, and rejected.parquet."""
    rows = flagged = checked = 0
    found: Counter[str] = Counter()
    estimated: Counter[str] = Counter()
    places: dict[str, Counter[int]] = {name: Counter() for name in _EDGES}
    for row in _rows(dataset_dir, shards):
        quality = row["qc"]
        rows, flagged = rows + 1, flagged + bool(quality["flags"])
        checked += quality["lid_prob"] is not None
        found.update(quality["flags"])
        estimate = quality["qe_score"]
        if estimate is not None:
            estimated[quality["qe_model"]] += 1
        values = (row["duration_s"], quality["length_ratio"], quality["lid_prob"], estimate)
        for name, value in zip(_EDGES, values, strict=True):
            if value is not None:
                places[name][bisect_right(_EDGES[name], value) - 1] += 1
    rejected = read_records(dataset_dir / "rejected.parquet", Rejection)
    dropped = Counter(item.reason for item in rejected if item.stage == "assemble")
    return QualitySummary(
        rows=rows,
        flagged=flagged,
        flags={flag: found[flag] for flag in FLAGS},
        dropped={flag: dropped[flag] for flag in FLAGS},
        language_checked=checked,
        qe_checked=dict(sorted(estimated.items())),
        histograms={name: _histogram(name, counts) for name, counts in places.items() if counts},
    )


def _or_null(edge: float) -> float | None:
    return edge if math.isfinite(edge) else None


def _rows(dataset_dir: Path, shards: Iterable[str]) -> Iterator[dict[str, Any]]:
    columns = ["duration_s", "qc.flags", "qc.length_ratio", "qc.lid_prob", "qc.qe_score", "qc.qe_model"]
    for name in shards:
        with pq.ParquetFile(dataset_dir / name) as file:
            for batch in file.iter_batches(columns=columns):
                yield from batch.to_pylist()


def _histogram(name: str, counts: Counter[int]) -> Histogram:
    edges = _EDGES[name]
    return Histogram(edges=edges, counts=tuple(counts[index] for index in range(len(edges) - 1)))


def _table(shape: Histogram) -> Iterable[str]:
    for low, high, count in zip(shape.edges, shape.edges[1:], shape.counts, strict=False):
        yield f"| {_interval(low, high)} | {count} |"


def _interval(low: float, high: float) -> str:
    if math.isinf(low):
        return f"below {high:g}"
    return f"from {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
