"""Finish joins the assembled shards into one dataset: counts balanced, card and manifest written.

Nothing is trained on or published before its manifest exists, and the manifest is written last.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from augment.assemble import DatasetConfig, in_order, part_name
from augment.atomic import file_sha256, room_in
from augment.card import write_card
from augment.licences import strictest
from augment.manifest import DatasetError, DatasetManifest, Provenance, Summary, digest_of, save_manifest
from augment.records import Record, read_records, write_records
from augment.schema import Counts, PartialTarget, Rejection, Shard
from augment.shards import shard_name


def finish_dataset(
    dataset_dir: Path,
    *,
    part_dirs: Sequence[Path],
    read_rejections: Iterable[Rejection],
    num_input: int,
    not_selected: int,
    provenance: Provenance,
    config: DatasetConfig,
    splits: Sequence[str] = (),
) -> DatasetManifest:
    """Join one part directory per shard into a complete dataset of these corpus splits; the manifest is written last.

    Raise DatasetError when no row is left, and ValueError when the balance of `Counts` does not hold.
    """
    shards = tuple(_take_shard(dataset_dir, part, i, config.n_shards) for i, part in enumerate(part_dirs))
    evidence = _read_parts(part_dirs, "evidence", PartialTarget)
    later = _read_parts(part_dirs, "rejected", Rejection)
    at_read = list(read_rejections)
    counts = balance(shards, at_read, later, num_input=num_input, not_selected=not_selected)
    by_reason = Counter(f"{item.stage}.{item.reason}" for item in (*at_read, *later))
    if not counts.rows:
        raise DatasetError(
            f"the dataset {config.name!r} has no row: {num_input} inputs, {not_selected} not selected, "
            f"rejected: {dict(by_reason) or 'none'}; select a larger fraction or mend the rejected inputs"
        )
    write_records(dataset_dir / "rejected.parquet", in_order([*at_read, *later]), Rejection)
    write_records(dataset_dir / "evidence.parquet", sorted(evidence, key=lambda e: e.id), PartialTarget)
    summary = summarise([dataset_dir / shard.path for shard in shards])
    manifest = DatasetManifest(
        name=config.name,
        dataset_digest=digest_of(shards),
        license=strictest(summary.licenses),
        audio="embedded",
        shards=shards,
        files={},
        counts=counts,
        rejected=dict(sorted(by_reason.items())),
        summary=summary,
        provenance=provenance,
        splits=tuple(sorted(splits)),
    )
    manifest = write_card(dataset_dir, manifest)
    save_manifest(dataset_dir, manifest)
    return manifest


def balance(
    shards: Iterable[Shard],
    at_read: Sequence[Rejection],
    later: Sequence[Rejection],
    *,
    num_input: int,
    not_selected: int,
) -> Counts:
    """The checked balance of a build."""
    rows = sum(shard.rows for shard in shards)
    counts = Counts(
        input=num_input,
        not_selected=not_selected,
        rejected_at_read=len(at_read),
        selected=rows + len(later),
        rejected_later=len(later),
        rows=rows,
    )
    counts.check()
    return counts


def summarise(paths: Iterable[Path]) -> Summary:
    """Totals over all rows, read from the columns that hold them (never the audio)."""
    columns = ["duration_s", "partial_text", "near_tie", "accepted_tokens", "draft_tokens"]
    columns += ["src_lang", "tgt_lang", "license", "audio_ref.corpus", "qc.flags"]
    rows = [row for path in paths for row in pq.ParquetFile(path).read(columns=columns).to_pylist()]
    flags = Counter(flag for row in rows for flag in row["qc"]["flags"])
    draft_tokens = sum(row["draft_tokens"] for row in rows)
    return Summary(
        kept_audio_s=round(sum(row["duration_s"] for row in rows), 3),
        empty_targets=sum(not row["partial_text"] for row in rows),
        near_ties=sum(row["near_tie"] for row in rows),
        accepted_ratio=round(sum(row["accepted_tokens"] for row in rows) / max(1, draft_tokens), 4),
        src_langs=tuple(sorted({row["src_lang"] for row in rows})),
        tgt_langs=tuple(sorted({row["tgt_lang"] for row in rows})),
        licenses=tuple(sorted({row["license"] for row in rows})),
        corpora=tuple(sorted({row["audio_ref"]["corpus"] for row in rows})),
        flags=dict(sorted(flags.items())),
    )


def _take_shard(dataset_dir: Path, part_dir: Path, index: int, n_shards: int) -> Shard:
    """Hard-link the shard into the dataset where the file system allows it, else copy."""
    name = shard_name(index, n_shards)
    source, path = part_dir / name, dataset_dir / name
    if not source.is_file():
        raise DatasetError(f"shard {index} of {n_shards} is missing: {name} was not assembled")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or not path.samefile(source):
        path.unlink(missing_ok=True)
        try:
            os.link(source, path)
        except OSError:
            with room_in(path.parent):
                shutil.copyfile(source, path)
    rows = pq.ParquetFile(path).metadata.num_rows
    return Shard(path=name, sha256=file_sha256(path), num_bytes=path.stat().st_size, rows=rows)


def _read_parts(part_dirs: Sequence[Path], kind: str, record_type: type[Record]) -> list[Record]:
    paths = [part / part_name(kind, index) for index, part in enumerate(part_dirs)]
    return [record for path in paths for record in read_records(path, record_type)]
