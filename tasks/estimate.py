"""The stage between generate and assemble that judges drafts, where a COMET model is configured for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from augment.records import read_records, write_records
from augment.schema import PartialTarget, QualityEstimate, TruncatedUtterance
from lalm.comet import CometConfig, Segment
from tasks.comet import asking_comet, comet_scorer
from tasks.dataset import PARQUET_LIBRARIES
from tasks.stage import stage_task
from tasks.store import Manifest
from tasks.workspace import Workspace

ESTIMATE_VERSION = 1


@stage_task("estimate")
def estimate_shard(ws: Workspace, truncated: Manifest, generated: Manifest, config: CometConfig) -> Manifest:
    """Ask COMET how good each draft is as a translation of the source text; without a source text it has no score."""
    checkpoint = comet_scorer(ws, config).checkpoint
    inputs = {
        "truncated": truncated.digest, "generated": generated.digest, "model": checkpoint.identity,
        "label": checkpoint.label, "libraries": PARQUET_LIBRARIES,
    }  # fmt: skip
    write = partial(_write_estimates, ws, truncated, generated, config)
    return ws.store.ensure("estimate", ESTIMATE_VERSION, inputs, write)


def _write_estimates(
    ws: Workspace, truncated: Manifest, generated: Manifest, config: CometConfig, out: Path
) -> Mapping[str, Any]:
    records = read_records(truncated.path("truncated.parquet"), TruncatedUtterance)
    sources = {record.id: (record.utterance.src_text or "").strip() for record in records}
    targets = read_records(generated.path("partial.parquet"), PartialTarget)
    drafts = {t.id: Segment(src=sources[t.id], mt=t.draft_text) for t in targets if sources[t.id]}
    with asking_comet(ws, config) as scorer:
        scores = dict(zip(drafts, scorer.score(list(drafts.values()), ws.progress()), strict=True))
        model = scorer.checkpoint.label
    estimates = [QualityEstimate(id=t.id, score=scores.get(t.id), model=model) for t in targets]
    write_records(out / "estimates.parquet", estimates, QualityEstimate)
    mean = round(sum(scores.values()) / len(scores), 4) if scores else None
    return {"scored": len(scores), "without_source": len(targets) - len(scores), "mean": mean}
