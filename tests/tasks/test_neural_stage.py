"""The stage that scores every point with a COMET model, by the real COMET."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from augment.corpora import open_corpus
from evaluate.trace import StreamTrace, write_traces
from lalm.comet import CometConfig
from tasks.comet import comet_scorer, comet_workers
from tasks.evaluate import SpokenSet, neural_scores
from tasks.neural import score_neural
from tasks.store import Manifest
from tests.support.comet import checkpoint
from tests.support.stages import EVALUATE, Bench, call, make_bench

NOWHERE = "/nonexistent/python"


def traced(bench: Bench, spoken: SpokenSet, texts: Sequence[str | None]) -> Manifest:
    """Traces with these texts; None is a failed utterance."""
    traces = [
        StreamTrace(
            id=utterance.id, chunk_ms=800, source_ms=1000.0, text=text or "", emissions=(), steps=(),
            failure="too_long: 99 s" if text is None else None,
        )
        for utterance, text in zip(spoken.utterances, texts, strict=True)
    ]  # fmt: skip

    def write(out: Path) -> dict[str, Any]:
        write_traces(out / "traces.jsonl", traces)
        return {}

    return bench.workspace.store.ensure("stream", 1, {"texts": list(texts)}, write)


@pytest.mark.slow
def test_every_point_is_scored_failures_count_as_empty_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    spoken = SpokenSet(open_corpus(bench.corpus, "test"), EVALUATE)
    xcomet = CometConfig(model=str(checkpoint("xcomet")))
    right = [utterance.tgt_text for utterance in spoken.utterances]
    streamed = {"base": [traced(bench, spoken, ["der Mann", None, right[2]]), traced(bench, spoken, right)]}
    policies = {"base+wait-k": [("k=3", traced(bench, spoken, ["der Mann", right[1], right[2]]))]}
    score = partial(call, score_neural, bench.workspace, spoken, streamed)
    with comet_workers(bench.workspace):
        made = score(xcomet)
        issued = comet_scorer(bench.workspace, xcomet).issued
        more = score(xcomet, policies)
        assert comet_scorer(bench.workspace, xcomet).issued == issued
    again = score(xcomet.model_copy(update={"python": NOWHERE}))
    bench.workspace.close()

    first, second = json.loads(made.path("neural.json").read_text())["curves"]["base"]
    assert list(first["utterances"]) == [utterance.id for utterance in spoken.utterances]
    assert first["mean"] == pytest.approx(sum(first["utterances"].values()) / 3)
    assert (first["failed"], first["n_empty"]) == ({spoken.utterances[1].id: "too_long: 99 s"}, 1)
    assert (second["failed"], second["n_empty"]) == ({}, 0)
    assert first["utterances"][spoken.utterances[2].id] == second["utterances"][spoken.utterances[2].id]
    assert again.cached
    assert not more.cached
    (model,) = neural_scores([more])
    (point,) = model["curves"]["base+wait-k"]
    assert (point["knob"], point["n"], "utterances" in point) == ("k=3", 3, False)
