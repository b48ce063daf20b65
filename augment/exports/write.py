"""Export writes the audio files and the manifest of one format, whole or not at all.

Lines stand in the order of the dataset's shards; memory holds one row group. What lies in the target is replaced only
if an export wrote every file of it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from augment.atomic import write_bytes
from augment.directories import holds_same, put_in_place, staging_beside
from augment.examples import SimulExample
from augment.exports.base import AUDIO_TAG, Export, ExportError, ExportFormat, Line
from augment.manifest import DatasetManifest, verify_dataset
from augment.records import from_row
from augment.shards import read_shard

MARKER_NAME = "export.json"
AUDIO_DIR = "audio"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_STEM_CHARS = 80


def export_dataset(dataset_dir: Path, target: Path, format: ExportFormat) -> Export:
    """Verify the dataset, write the export beside `target`, and put it in place by one rename.

    Raises ExportError for a dataset without audio, and for a target that holds anything no export wrote.
    """
    manifest = verify_dataset(dataset_dir)
    if manifest.audio == "referenced":
        raise ExportError(
            f"the dataset in {dataset_dir} holds no audio, for it was published without: "
            "`simulsa materialize` rebuilds it from your copy of the corpus"
        )
    _refuse_overlap(dataset_dir, target)
    _refuse_foreign(target)
    with staging_beside(target, dry_run=False) as staging:
        facts = _write(dataset_dir, staging, manifest, format)
        files = [path for path in staging.rglob("*") if path.is_file()]
        same = holds_same(target, staging)
        result = Export(
            status="unchanged" if same else "exported",
            format=format.name,
            target=target,
            manifest=format.manifest,
            num_bytes=sum(path.stat().st_size for path in files),
            license=manifest.license,
            usage=format.usage.replace("DIR", str(target)).replace("NAME", _slug(manifest.name)),
            **facts,
        )
        if not same:
            os.sync()  # one flush of all: an fsync for each of many small files takes minutes
            put_in_place(staging, target)
    return result


def audio_name(id: str) -> str:
    """A file name that any file system takes: the id's plain characters, and a digest that keeps ids apart."""
    digest = blake2b(id.encode(), digest_size=6).hexdigest()
    stem = _UNSAFE.sub("_", id)[:_MAX_STEM_CHARS].strip("._")
    return f"{AUDIO_DIR}/{stem}-{digest}.flac" if stem else f"{AUDIO_DIR}/{digest}.flac"


def _write(
    dataset_dir: Path, staging: Path, manifest: DatasetManifest, format: ExportFormat
) -> dict[str, Any]:
    """Write everything, the marker last; return the counts."""
    (staging / AUDIO_DIR).mkdir()
    rows = empty = 0
    audio_s = 0.0
    with (staging / format.manifest).open("w", encoding="utf-8", newline="\n") as lines:
        for line, flac in _lines(dataset_dir, manifest):
            (staging / line.audio).write_bytes(flac)
            lines.write(json.dumps(format.line(line), ensure_ascii=False, allow_nan=False) + "\n")
            rows, empty, audio_s = rows + 1, empty + (not line.target), audio_s + line.duration_s
    facts = {"rows": rows, "empty_targets": empty, "audio_s": round(audio_s, 3)}
    beside = format.beside(_slug(manifest.name))
    for name, content in beside.items():
        write_bytes(staging / name, _pretty(content))
    marker = {
        "written_by": "simulsa export",
        "format": format.name,
        "files": sorted([format.manifest, MARKER_NAME, *beside]),
        "dataset": manifest.name,
        "dataset_digest": manifest.dataset_digest,
        "license": manifest.license,
        **facts,
    }
    write_bytes(staging / MARKER_NAME, _pretty(marker))
    return facts


def _lines(dataset_dir: Path, manifest: DatasetManifest) -> Iterator[tuple[Line, bytes]]:
    for shard in manifest.shards:
        for row in read_shard(dataset_dir / shard.path):
            example = from_row(row, SimulExample)
            if example.audio is None:
                raise ExportError(f"row {example.id} in {shard.path} holds no audio: rebuild the dataset")
            yield _line(example), example.audio.bytes


def _line(example: SimulExample) -> Line:
    roles = [message.role for message in example.messages]
    if roles != ["user", "assistant"] or not example.messages[0].content.startswith(AUDIO_TAG):
        raise ExportError(
            f"row {example.id} must have a user turn that begins with {AUDIO_TAG} and an assistant turn, "
            f"but its turns are {roles}: rebuild the dataset"
        )
    user, assistant = example.messages
    return Line(
        id=example.id,
        audio=audio_name(example.id),
        duration_s=example.duration_s,
        instruction=user.content.removeprefix(AUDIO_TAG),
        target=assistant.content,
        src_lang=example.src_lang,
        tgt_lang=example.tgt_lang,
    )


def _refuse_overlap(dataset_dir: Path, target: Path) -> None:
    source, place = dataset_dir.resolve(), target.resolve()
    if place == source or place in source.parents or source in place.parents:
        raise ExportError(f"{target} overlaps the dataset in {dataset_dir}: choose a directory outside it")


def _refuse_foreign(target: Path) -> None:
    """Refuse a target that holds anything but the files of an earlier export."""
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{target} is a file, which is kept: choose a new directory")
    ours = _files_of_export(target)
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        audio = path.parent == target / AUDIO_DIR and path.suffix == ".flac"
        if not (ours and (name in ours or name == AUDIO_DIR or audio)):
            raise ExportError(
                f"{target} holds {name}, which no export wrote and is kept: choose a new directory"
            )


def _files_of_export(target: Path) -> set[str]:
    """The files beside the audio that the export in `target` wrote; none where there is no export."""
    try:
        marker = json.loads((target / MARKER_NAME).read_bytes())
    except (OSError, ValueError):
        return set()
    known = isinstance(marker, dict) and marker.get("written_by") == "simulsa export"
    return set(map(str, marker.get("files", ()))) if known else set()


def _slug(name: str) -> str:
    return _UNSAFE.sub("_", name).strip("._") or "simulsa"


def _pretty(content: object) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
