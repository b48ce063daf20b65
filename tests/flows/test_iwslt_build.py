"""A corpus in the IWSLT layout, in a language the model does not know: every segment whose kept part fits is a row."""

from pathlib import Path

from augment.assemble import DatasetConfig
from augment.corpora import open_corpus
from augment.partial import PartialConfig
from augment.records import read_records
from augment.schema import SAMPLE_RATE_HZ, Rejection, TruncatedUtterance
from augment.truncate import TruncateConfig
from lalm.engine_config import EngineConfig
from lalm.loading import ModelConfig
from tasks.dataset import (
    assemble_dataset_shard,
    generate_shard,
    join_shards,
    select_utterances,
    truncate_shard,
)
from tasks.store import Store
from tasks.workspace import Workspace
from tests.support.corpora import write_iwslt
from tests.support.micro import random_micro_lalm
from tests.support.stages import PROVENANCE, call

WINDOW_S = 4


def test_reference_drafts_bind_the_window_to_the_kept_part_only(tmp_path: Path) -> None:
    config = write_iwslt(tmp_path / "talks", recordings=2, segments=6, segment_s=7.0, src="en", tgt="cs")
    corpus = open_corpus(config, "train")
    model = random_micro_lalm(tmp_path / "micro", window_s=WINDOW_S)
    ws = Workspace(
        store=Store(tmp_path / "store"), model=ModelConfig(path=str(model)), engine=EngineConfig(), seed=7
    )
    truncate = TruncateConfig(fraction=1.0, alpha=1.0, beta=1.0)
    selection = call(select_utterances, ws, corpus, "train", truncate, 1)
    cut = call(truncate_shard, ws, corpus, selection, 0, truncate)
    prompt = ws.prompt("en", "cs")
    target = call(generate_shard, ws, cut, PartialConfig(draft="reference", rule="greedy"), prompt)
    shard = call(assemble_dataset_shard, ws, cut, target, 0, PROVENANCE, DatasetConfig(n_shards=1))
    joined = call(join_shards, ws, selection, [shard], PROVENANCE, 1, DatasetConfig(n_shards=1))
    ws.close()
    cuts = read_records(cut.path("truncated.parquet"), TruncatedUtterance)
    fitting = {c.id for c in cuts if c.kept_samples <= WINDOW_S * SAMPLE_RATE_HZ}
    assert 0 < len(fitting) < len(cuts) == 12
    assert joined.info["rows"] == len(fitting)
    rejected = read_records(joined.path("rejected.parquet"), Rejection)
    assert {r.reason for r in rejected} == {"exceeds_model_window"}
