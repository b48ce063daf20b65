"""A corpus that grows by a tenth costs a tenth: only utterances that are new are asked about."""

from pathlib import Path

import pytest

from augment.corpora import open_corpus
from tasks.dataset import generate_shard, select_utterances, truncate_shard
from tests.support.stages import DATASET, PARTIAL, TRUNCATE, Bench, call, make_bench


def generate(bench: Bench) -> tuple[int, dict[str, int]]:
    """The drafts and cuts of a corpus: how many utterances were asked about, and with how many requests."""
    ws, corpus = bench.workspace, open_corpus(bench.corpus, "train")
    prompt = ws.prompt("en", "de")
    selection = call(select_utterances, ws, corpus, "train", TRUNCATE, DATASET.n_shards)
    cuts = [call(truncate_shard, ws, corpus, selection, i, TRUNCATE) for i in range(DATASET.n_shards)]
    made = [call(generate_shard, ws, cut, PARTIAL, prompt) for cut in cuts]
    ws.close()
    return sum(part.info["targets"] for part in made), ws.requests()


@pytest.mark.slow
def test_a_tenth_more_utterances_is_a_tenth_more_requests(tmp_path: Path) -> None:
    targets, first = generate(make_bench(tmp_path, utterances=200))
    grown_targets, grown = generate(make_bench(tmp_path, utterances=220))
    assert first["replayed"] == 0
    assert grown["replayed"] == first["issued"]
    per_target = first["issued"] / targets
    expected = (grown_targets - targets) * per_target
    assert grown["issued"] == pytest.approx(expected, abs=2)  # a near tie asks again
    assert grown["issued"] < 0.15 * first["issued"]
