"""The reference segments of recordings: a YAML list of `wav`, `offset`, `duration`, and a line of text for each.

This is how MuST-C and IWSLT ship them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from augment.corpora.lines import decoded, raw_lines
from augment.corpora.yaml_list import entries
from lalm.errors import SimulsaError


class ReferencesError(SimulsaError):
    """References or segments that cannot belong to the log they are given for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of a recording in ms, and its reference translation, which may be empty."""

    recording: str
    offset_ms: float
    duration_ms: float
    reference: str

    @property
    def end_ms(self) -> float:
        """Where the segment ends in its recording."""
        return self.offset_ms + self.duration_ms


def read_references(path: Path) -> list[str]:
    """One reference per line, white space trimmed at its ends; raises ReferencesError on a line that is not UTF-8."""
    texts = []
    for number, raw in enumerate(raw_lines(path), start=1):
        text = decoded(raw)
        if text is None:
            raise ReferencesError(
                f"{path}:{number} is not UTF-8, as every reference must be: save it as UTF-8"
            )
        texts.append(text.strip())
    return texts


def read_segments(path: Path, references: Sequence[str]) -> list[Segment]:
    """The segments of a YAML list, each with its reference; a recording is known by its file's stem.

    Raises ReferencesError unless there are as many references, and every segment names its recording, a
    beginning and a positive duration in seconds.
    """
    listed = list(entries(path))
    if len(listed) != len(references):
        raise ReferencesError(
            f"{path} lists {len(listed)} segments, but there are {len(references)} references: they must be "
            "equal, as line n is the reference of segment n"
        )
    return [
        _segment(f"{path}:{line}", entry, text)
        for (line, entry), text in zip(listed, references, strict=True)
    ]


def by_recording(segments: Sequence[Segment]) -> dict[str, list[Segment]]:
    """The segments of each recording in the order of their time."""
    grouped: dict[str, list[Segment]] = {}
    for segment in segments:
        grouped.setdefault(segment.recording, []).append(segment)
    return {name: sorted(group, key=lambda segment: segment.offset_ms) for name, group in grouped.items()}


def _segment(where: str, entry: dict[str, str] | str, reference: str) -> Segment:
    if isinstance(entry, str):
        raise ReferencesError(f"{where}: {entry}")
    offset, duration = (_seconds(where, entry, name) for name in ("offset", "duration"))
    if "wav" not in entry or offset < 0 or duration <= 0:
        raise ReferencesError(
            f"{where}: a segment names its wav, an offset of at least 0 s and a duration above 0 s, got {entry}"
        )
    return Segment(
        recording=PurePosixPath(entry["wav"]).stem,
        offset_ms=offset * 1000,
        duration_ms=duration * 1000,
        reference=reference,
    )


def _seconds(where: str, entry: dict[str, str], name: str) -> float:
    try:
        seconds = float(entry[name])
    except (KeyError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ReferencesError(f"{where}: {name} must be a number of seconds, got {entry.get(name)!r}")
    return seconds
