"""Whatever decides a stage's output is in its key: a changed setting is never answered with an older output."""

from pathlib import Path

from augment.corpora import open_corpus
from tasks.dataset import assemble_dataset_shard, generate_shard, select_utterances, truncate_shard
from tests.support.stages import DATASET, PARTIAL, PROVENANCE, TRUNCATE, call, make_bench


def test_changed_settings_are_misses(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    ws, corpus, prompt = (
        bench.workspace,
        open_corpus(bench.corpus, "train"),
        bench.workspace.prompt("en", "de"),
    )
    selection = call(select_utterances, ws, corpus, "train", TRUNCATE, DATASET.n_shards)
    cut = call(truncate_shard, ws, corpus, selection, 0, TRUNCATE)
    target = call(generate_shard, ws, cut, PARTIAL, prompt)
    call(assemble_dataset_shard, ws, cut, target, 0, PROVENANCE, DATASET)
    strict = DATASET.model_copy(update={"quality": DATASET.quality.model_copy(update={"min_words": 5})})
    others = [
        call(
            select_utterances,
            ws,
            corpus,
            "train",
            TRUNCATE.model_copy(update={"fraction": 0.4}),
            DATASET.n_shards,
        ),
        call(truncate_shard, ws, corpus, selection, 0, TRUNCATE.model_copy(update={"of": "removed"})),
        call(generate_shard, ws, cut, PARTIAL.model_copy(update={"rule": "threshold"}), prompt),
        call(generate_shard, ws, cut, PARTIAL, ws.prompt("en", "fr")),
        call(assemble_dataset_shard, ws, cut, target, 0, PROVENANCE, strict),
    ]
    ws.close()
    assert [made.stage for made in others if made.cached] == []
