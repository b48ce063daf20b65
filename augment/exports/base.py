"""What every export format is: how a row becomes a line, and which files lie beside the lines.

A format knows no files and no directories: `augment.exports.write` owns these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lalm.errors import SimulsaError

FormatName = Literal["ms-swift", "llamafactory", "nemo", "trl"]

AUDIO_TAG = "<audio>"
"""Where the audio goes in the user's turn of a row's `messages`."""


class ExportError(SimulsaError):
    """A dataset that cannot be exported, or a directory that must be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a format may say of one row. `audio` is the path of its file, relative to the export's directory."""

    id: str
    audio: str
    duration_s: float
    instruction: str
    target: str
    src_lang: str
    tgt_lang: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """`line` makes one JSON object of a row; `beside` the further JSON files, given the dataset's name.

    `usage` is the command that trains on the export, with DIR for its directory and NAME for the dataset's name.
    """

    name: FormatName
    manifest: str
    line: Callable[[Line], dict[str, Any]]
    usage: str
    beside: Callable[[str], dict[str, Any]] = lambda _: {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was written: `unchanged` when the target already held exactly this."""

    status: Literal["exported", "unchanged"]
    format: FormatName
    target: Path
    manifest: str
    rows: int
    empty_targets: int
    audio_s: float
    num_bytes: int
    license: str
    usage: str
