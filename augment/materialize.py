"""Materialize gives a dataset that was published without audio its audio back, from the reader's own corpus.

Every clip is cut again and compared with the sha256 in its row, so what comes out is what was built: with equal
libraries the shards are equal byte for byte. A row whose audio cannot be rebuilt is named, never passed over.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from augment.assemble import in_order
from augment.atomic import flush_tree
from augment.audio import AudioError, encode_flac, pcm_digest
from augment.card import write_card
from augment.corpora import Corpus
from augment.directories import holds_same, put_in_place, staging_beside
from augment.examples import EmbeddedAudio, SimulExample
from augment.finish import summarise
from augment.manifest import (
    BESIDE_SHARDS,
    MANIFEST_NAME,
    DatasetManifest,
    digest_of,
    load_manifest,
    save_manifest,
    verify_dataset,
)
from augment.publish import refuse_overlap
from augment.records import from_row, read_records, write_records
from augment.schema import PartialTarget, Rejection, Utterance
from augment.shards import read_shard, write_shard
from lalm.errors import SimulsaError

Progress = Callable[[int, int], None]
Status = Literal["materialized", "unchanged", "incomplete", "dry_run"]


class MaterializeError(SimulsaError):
    """A dataset that needs no audio, a corpus that is not its own, or a target that must be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A row whose audio was not rebuilt: `reason` is a code such as audio_missing or audio_changed."""

    id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializeResult:
    """What was rebuilt. `incomplete` wrote nothing, for rows failed; `dry_run` wrote nothing, for it was asked to."""

    status: Status
    target: Path
    rows: int
    rebuilt: int
    failed: dict[str, int]
    """Failures by reason."""
    failures: tuple[Failure, ...]
    dataset_digest: str | None


def materialize(
    dataset_dir: Path,
    corpus: Corpus,
    target: Path,
    *,
    allow_missing: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> MaterializeResult:
    """Verify the dataset, rebuild and verify each clip beside `target`, and put the result in place by one rename.

    When any row fails nothing is written; with `allow_missing` such rows move to rejected.parquet instead. Raises
    MaterializeError, and PublishError for a target that overlaps the dataset or holds none.
    """
    manifest = verify_dataset(dataset_dir)
    _check(dataset_dir, manifest, corpus, target)
    rebuild = _Rebuild(dataset_dir, manifest, corpus, progress)
    if dry_run:
        for shard in manifest.shards:
            for _ in rebuild.rows(shard.path):
                pass
        return rebuild.result("dry_run", target, None)
    with staging_beside(target, dry_run=False) as staging:
        shards = tuple(
            write_shard(staging, shard.path, rebuild.rows(shard.path)) for shard in manifest.shards
        )
        if rebuild.failures and not allow_missing:
            return rebuild.result("incomplete", target, None)
        whole = dataclasses.replace(
            manifest, shards=shards, audio="embedded", dataset_digest=digest_of(shards)
        )
        _finish(dataset_dir, staging, whole, rebuild.failures)
        if holds_same(target, staging):
            return rebuild.result("unchanged", target, whole.dataset_digest)
        flush_tree(staging)
        put_in_place(staging, target)
    return rebuild.result("materialized", target, whole.dataset_digest)


class _Rebuild:
    """The rows of a dataset with their audio, and the failures met on the way."""

    def __init__(
        self, dataset_dir: Path, manifest: DatasetManifest, corpus: Corpus, progress: Progress | None
    ) -> None:
        self._dataset_dir = dataset_dir
        self._corpus = corpus
        self._total = manifest.counts.rows
        self._progress = progress
        self._seen = 0
        self._entries = _entries(corpus, _wanted(dataset_dir, manifest, corpus))
        self.failures: list[Failure] = []

    def rows(self, shard_path: str) -> Iterator[SimulExample]:
        """Each row whose clip has the sha256 that it names; the others are appended to `failures`."""
        for row in read_shard(self._dataset_dir / shard_path):
            example = from_row(row, SimulExample)
            try:
                flac = self._clip(example)
            except AudioError as error:
                self.failures.append(Failure(id=example.id, reason=error.reason, detail=error.detail))
            else:
                audio = EmbeddedAudio(bytes=flac, path=f"{example.id}.flac")
                yield dataclasses.replace(example, audio=audio)
            self._seen += 1
            if self._progress:
                self._progress(self._seen, self._total)

    def result(self, status: Status, target: Path, digest: str | None) -> MaterializeResult:
        """What was done, once every row has been seen."""
        return MaterializeResult(
            status=status,
            target=target,
            rows=self._seen,
            rebuilt=self._seen - len(self.failures),
            failed=dict(sorted(Counter(failure.reason for failure in self.failures).items())),
            failures=tuple(sorted(self.failures, key=lambda failure: failure.id)),
            dataset_digest=digest,
        )

    def _clip(self, example: SimulExample) -> bytes:
        ref = example.audio_ref
        if ref.corpus != self._corpus.config.name:
            raise AudioError(
                "other_corpus", f"the audio is of corpus {ref.corpus!r}: materialize it from there"
            )
        entry = self._entries.get(ref.id)
        if entry is None:
            raise AudioError("not_in_corpus", f"split {self._corpus.split!r} has no utterance {ref.id!r}")
        if isinstance(entry, Rejection):
            raise AudioError(entry.reason, entry.detail)
        waveform = self._corpus.load_audio(entry)
        kept = waveform[ref.start_sample : ref.start_sample + ref.num_samples]
        if pcm_digest(kept) != ref.sha256:
            raise AudioError(
                "audio_changed",
                f"{len(kept)} of {ref.num_samples} samples from {ref.start_sample} of {entry.audio.path} do not have "
                f"sha256 {ref.sha256}: the file is another version, or soxr and soundfile are",
            )
        return encode_flac(kept)


def _check(dataset_dir: Path, manifest: DatasetManifest, corpus: Corpus, target: Path) -> None:
    if manifest.audio == "embedded":
        raise MaterializeError(f"the dataset in {dataset_dir} holds its audio: there is nothing to rebuild")
    if corpus.config.name not in manifest.summary.corpora:
        raise MaterializeError(
            f"the dataset was made of corpus {' and '.join(manifest.summary.corpora)}, the given one is named "
            f"{corpus.config.name!r}: name it so in corpus.name, or give the right corpus"
        )
    refuse_overlap(dataset_dir, target)
    if (target / MANIFEST_NAME).is_file() and load_manifest(target).provenance != manifest.provenance:
        raise MaterializeError(f"{target} holds another dataset, which is kept: choose a new directory")


def _wanted(dataset_dir: Path, manifest: DatasetManifest, corpus: Corpus) -> set[str]:
    """The utterances of this corpus that the rows were cut from."""
    refs = (
        row["audio_ref"]
        for shard in manifest.shards
        for row in pq.ParquetFile(dataset_dir / shard.path).read(columns=["audio_ref"]).to_pylist()
    )
    return {ref["id"] for ref in refs if ref["corpus"] == corpus.config.name}


def _entries(corpus: Corpus, wanted: set[str]) -> dict[str, Utterance | Rejection]:
    """The wanted utterances in one pass over the metadata; a good line wins over a rejected one of the same id."""
    found: dict[str, Utterance | Rejection] = {}
    for entry in corpus:
        if entry.id in wanted and (entry.id not in found or isinstance(entry, Utterance)):
            found[entry.id] = entry
    return found


def _finish(dataset_dir: Path, staging: Path, manifest: DatasetManifest, failures: list[Failure]) -> None:
    """Write what lies beside the shards, the manifest last; failed rows become rejections."""
    if failures:
        manifest = _without_failed(dataset_dir, staging, manifest, failures)
    else:
        for name in BESIDE_SHARDS:
            shutil.copyfile(dataset_dir / name, staging / name)
    save_manifest(staging, write_card(staging, manifest))


def _without_failed(
    dataset_dir: Path, staging: Path, manifest: DatasetManifest, failures: list[Failure]
) -> DatasetManifest:
    failed = {failure.id for failure in failures}
    counts = manifest.counts
    counts = dataclasses.replace(
        counts, rows=counts.rows - len(failed), rejected_later=counts.rejected_later + len(failed)
    )
    counts.check()
    if not counts.rows:
        raise MaterializeError(f"no clip of the dataset {manifest.name!r} could be rebuilt: check the corpus")
    new = [Rejection(stage="assemble", **dataclasses.asdict(failure)) for failure in failures]
    rejected = [*read_records(dataset_dir / "rejected.parquet", Rejection), *new]
    evidence = read_records(dataset_dir / "evidence.parquet", PartialTarget)
    write_records(staging / "rejected.parquet", in_order(rejected), Rejection)
    write_records(staging / "evidence.parquet", (e for e in evidence if e.id not in failed), PartialTarget)
    by_reason = Counter(f"{item.stage}.{item.reason}" for item in rejected)
    return dataclasses.replace(
        manifest,
        counts=counts,
        rejected=dict(sorted(by_reason.items())),
        summary=summarise(staging / shard.path for shard in manifest.shards),
    )
