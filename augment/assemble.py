"""Assemble joins kept audio, partial target and provenance into the rows of one shard.

A row that cannot be made is a Rejection. Rows of a shard are sorted by id, so equal inputs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from augment.audio import AudioError, encode_flac, pcm_digest
from augment.examples import EmbeddedAudio, Message, SimulExample, SourceAudio
from augment.manifest import Provenance
from augment.quality import QualityConfig, check_quality
from augment.records import write_records
from augment.schema import (
    SAMPLE_RATE_HZ,
    PartialTarget,
    QualityEstimate,
    Rejection,
    Shard,
    TruncatedUtterance,
)
from augment.shards import shard_name, write_shard

LoadKept = Callable[[TruncatedUtterance], NDArray[np.float32]]
Pair = tuple[TruncatedUtterance, PartialTarget]


class DatasetConfig(BaseModel):
    """The shape of the dataset and its quality checks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="simulsa", min_length=1, description="Title of the dataset card.")
    n_shards: int = Field(
        default=4,
        ge=1,
        le=99_999,
        description="Number of Parquet files; a row's is its id's hash modulo this.",
    )
    quality: QualityConfig = Field(default=QualityConfig(), description="Checks that flag or drop rows.")

    @property
    def semantic(self) -> dict[str, Any]:
        """What decides the rows, as JSON; a model that estimates quality does so by the estimates it gave."""
        return self.model_dump(mode="json", exclude={"quality": {"qe"}})


def make_example(
    truncated: TruncatedUtterance,
    target: PartialTarget,
    kept: NDArray[np.float32],
    *,
    provenance: Provenance,
    quality: QualityConfig,
    estimate: QualityEstimate | None = None,
) -> SimulExample | Rejection:
    """One row, or a Rejection when the audio is not what was scored or a declared flag drops it."""
    utterance = truncated.utterance
    if pcm_digest(kept) != truncated.kept_sha256:
        detail = (
            f"{len(kept)} kept samples no longer have sha256 {truncated.kept_sha256}: restore the audio file"
        )
        return Rejection(id=truncated.id, stage="assemble", reason="audio_changed", detail=detail)
    flags = check_quality(
        kept=kept,
        partial=target.text,
        draft=target.draft_text,
        src_lang=utterance.src_lang,
        tgt_lang=utterance.tgt_lang,
        config=quality,
        estimate=estimate,
    )
    for flag in flags.flags:
        if flag in quality.drop:
            detail = f"{flag} is in quality.drop (partial target {target.text!r}, {len(kept)} samples)"
            return Rejection(id=truncated.id, stage="assemble", reason=flag, detail=detail)
    return SimulExample(
        id=truncated.id,
        audio=EmbeddedAudio(bytes=encode_flac(kept), path=f"{truncated.id}.flac"),
        messages=(
            Message(role="user", content=f"<audio>{provenance.instruction}"),
            Message(role="assistant", content=target.text),
        ),
        src_lang=utterance.src_lang,
        tgt_lang=utterance.tgt_lang,
        src_text=utterance.src_text,
        tgt_text=utterance.tgt_text,
        partial_text=target.text,
        method=provenance.method,
        draft=provenance.draft,
        rule=provenance.rule,
        threshold=provenance.threshold,
        accepted_tokens=target.accepted_tokens,
        draft_tokens=len(target.draft_ids),
        # Float evidence differs in its last digits between machines; four decimals do not.
        mean_logprob=None if target.mean_logprob is None else round(target.mean_logprob, 4),
        near_tie=target.near_tie,
        kept_ratio=truncated.kept_ratio,
        duration_s=truncated.kept_samples / SAMPLE_RATE_HZ,
        full_duration_s=truncated.num_samples / SAMPLE_RATE_HZ,
        alpha=provenance.alpha,
        beta=provenance.beta,
        seed=provenance.seed,
        model=provenance.model,
        model_revision=provenance.model_revision,
        prompt_hash=provenance.prompt_hash,
        config_hash=provenance.config_hash,
        license=utterance.license,
        audio_ref=SourceAudio(
            corpus=utterance.corpus,
            id=utterance.id,
            start_sample=0,
            num_samples=truncated.kept_samples,
            sha256=truncated.kept_sha256,
        ),
        qc=flags,
    )


def assemble_shard(
    out_dir: Path,
    *,
    index: int,
    pairs: Iterable[Pair],
    rejections: Iterable[Rejection],
    load_kept: LoadKept,
    provenance: Provenance,
    config: DatasetConfig,
    estimates: Mapping[str, QualityEstimate] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Shard:
    """Write one bucket's shard, and beside data/ its rejections (given and new) and its evidence.

    `estimates` holds the quality estimate of every row by its id, or is None where none were made.
    """
    ordered = sorted(pairs, key=lambda pair: pair[0].id)
    rejected = list(rejections)
    evidence: list[PartialTarget] = []

    def rows() -> Iterator[SimulExample]:
        for done, (truncated, target) in enumerate(ordered, start=1):
            estimate = estimates[truncated.id] if estimates is not None else None
            row = _row(truncated, target, load_kept, provenance, config.quality, estimate)
            if isinstance(row, Rejection):
                rejected.append(row)
            else:
                evidence.append(target)
                yield row
            if progress:
                progress(done, len(ordered))

    shard = write_shard(out_dir, shard_name(index, config.n_shards), rows())
    write_records(out_dir / part_name("rejected", index), in_order(rejected), Rejection)
    write_records(out_dir / part_name("evidence", index), evidence, PartialTarget)
    return shard


def _row(
    truncated: TruncatedUtterance,
    target: PartialTarget,
    load_kept: LoadKept,
    provenance: Provenance,
    quality: QualityConfig,
    estimate: QualityEstimate | None,
) -> SimulExample | Rejection:
    try:
        kept = load_kept(truncated)
    except AudioError as error:
        return Rejection(id=truncated.id, stage="assemble", reason=error.reason, detail=str(error))
    return make_example(truncated, target, kept, provenance=provenance, quality=quality, estimate=estimate)


def part_name(kind: str, index: int) -> str:
    """The path of one bucket's rejections or evidence below its part directory."""
    return f"{kind}-{index:05d}.parquet"


def in_order(rejections: Iterable[Rejection]) -> list[Rejection]:
    """The same rejections, in an order that their making does not influence."""
    return sorted(rejections, key=lambda item: tuple(asdict(item).values()))
