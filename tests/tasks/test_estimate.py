"""Quality estimation between generate and assemble: by the real COMET, from records, or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from augment.corpora import open_corpus
from augment.quality import QualityConfig
from augment.records import read_records, write_records
from augment.schema import TruncatedUtterance
from lalm.comet import CometConfig, CometError, open_checkpoint
from tasks.comet import check_comet, comet_scorer, comet_workers
from tasks.dataset import (
    assemble_dataset_shard,
    generate_shard,
    join_shards,
    select_utterances,
    truncate_shard,
)
from tasks.estimate import estimate_shard
from tasks.store import Manifest
from tests.support.comet import checkpoint, hollow_checkpoint
from tests.support.stages import DATASET, PARTIAL, PROVENANCE, TRUNCATE, Bench, call, make_bench

NewBench = Callable[[], Bench]
NOWHERE = "/nonexistent/python"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[NewBench]:
    """Benches over one store, each with a workspace of its own, closed at the end."""
    with ExitStack() as stack:

        def make() -> Bench:
            made = make_bench(tmp_path)
            stack.callback(made.workspace.close)
            return made

        yield make


def comet(**settings: Any) -> CometConfig:
    return CometConfig(model=str(checkpoint("kiwi")), **settings)


def made_by(
    bench: Bench, qe: CometConfig | None, *, min_qe_score: float = 0.5
) -> tuple[Manifest, list[Manifest]]:
    """The dataset and its estimates."""
    ws, corpus = bench.workspace, open_corpus(bench.corpus, "train")
    dataset = DATASET.model_copy(update={"quality": QualityConfig(qe=qe, min_qe_score=min_qe_score)})
    selection = call(select_utterances, ws, corpus, "train", TRUNCATE, 2)
    cuts = [call(truncate_shard, ws, corpus, selection, index, TRUNCATE) for index in range(2)]
    targets = [call(generate_shard, ws, cut, PARTIAL, ws.prompt("en", "de")) for cut in cuts]
    pairs = list(zip(cuts, targets, strict=True))
    with comet_workers(ws):
        estimates = [call(estimate_shard, ws, *pair, qe) for pair in pairs] if qe else [None, None]
    shards = [
        call(assemble_dataset_shard, ws, *pair, index, PROVENANCE, dataset, estimates[index])
        for index, pair in enumerate(pairs)
    ]
    return call(join_shards, ws, selection, shards, PROVENANCE, 1, dataset), [e for e in estimates if e]


def checks(dataset: Manifest) -> dict[str, dict[str, Any]]:
    """`qc` of every row by id."""
    names = [name for name in dataset.files if name.startswith("data/")]
    rows = [row for name in names for row in pq.read_table(dataset.path(name), partitioning=None).to_pylist()]
    return {row["id"]: row["qc"] for row in rows}


def test_without_quality_estimation_the_columns_are_null_and_the_card_says_so(bench: NewBench) -> None:
    dataset, _ = made_by(bench(), None)
    assert {(qc["qe_score"], qc["qe_model"]) for qc in checks(dataset).values()} == {(None, None)}
    assert "No quality estimation was run" in dataset.path("README.md").read_text()


@pytest.mark.slow
def test_every_draft_is_scored_once_flagged_below_the_threshold_and_named_on_the_card(
    bench: NewBench,
) -> None:
    one = bench()
    first, estimates = made_by(one, comet())
    scores = {id: qc["qe_score"] for id, qc in checks(first).items()}
    assert sum(estimate.info["scored"] for estimate in estimates) == len(scores)
    assert all(0 < score < 1 for score in scores.values())
    assert comet_scorer(one.workspace, comet()).worker_pid is None
    middle = sorted(scores.values())[len(scores) // 2]

    again, estimates = made_by(bench(), comet(python=NOWHERE, batch_size=1), min_qe_score=middle)
    assert all(estimate.cached for estimate in estimates)
    flagged = {id for id, qc in checks(again).items() if "low_qe" in qc["flags"]}
    assert flagged == {id for id, score in scores.items() if score < middle}
    card = again.path("README.md").read_text()
    assert f"| `low_qe` | {len(flagged)} | 0 |" in card
    assert f"estimated by `{open_checkpoint(comet()).label}`" in card


def test_draft_without_source_text_has_no_score_is_counted_and_starts_nothing(
    bench: NewBench, tmp_path: Path
) -> None:
    model = hollow_checkpoint(tmp_path / "model")
    one = bench()
    ws, corpus = one.workspace, open_corpus(one.corpus, "train")
    selection = call(select_utterances, ws, corpus, "train", TRUNCATE, 1)
    cut = call(truncate_shard, ws, corpus, selection, 0, TRUNCATE)
    target = call(generate_shard, ws, cut, PARTIAL, ws.prompt("en", "de"))
    records = read_records(cut.path("truncated.parquet"), TruncatedUtterance)
    silent = [
        dataclasses.replace(record, utterance=dataclasses.replace(record.utterance, src_text=text))
        for record, text in zip(records, cycle((None, " ")), strict=False)
    ]
    write_records(cut.path("truncated.parquet"), silent, TruncatedUtterance)
    made = call(estimate_shard, ws, cut, target, CometConfig(model=str(model), python=NOWHERE))
    assert pq.read_table(made.path("estimates.parquet"))["score"].null_count == len(records)
    assert made.info == {"scored": 0, "without_source": len(records), "mean": None}


def test_model_or_environment_that_cannot_estimate_is_refused_before_any_work(
    bench: NewBench, tmp_path: Path
) -> None:
    ws = bench().workspace
    with_reference = hollow_checkpoint(tmp_path / "comet-22", "class_identifier: regression_metric")
    with pytest.raises(CometError, match="compares with a reference"):
        check_comet(ws, CometConfig(model=str(with_reference)), references=False)
    with pytest.raises(CometError, match="make comet"):
        check_comet(
            ws, CometConfig(model=str(hollow_checkpoint(tmp_path / "kiwi")), python=NOWHERE), references=False
        )
