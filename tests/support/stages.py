"""Stage functions called without a flow engine, on a toy corpus and a micro LALM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.assemble import DatasetConfig
from augment.corpora import CorpusConfig, open_corpus
from augment.manifest import Provenance
from augment.partial import PartialConfig
from augment.truncate import TruncateConfig
from demo.corpus import build_corpus
from demo.model import MODEL_DIR
from evaluate.config import EvaluateConfig
from lalm.engine_config import EngineConfig
from lalm.loading import ModelConfig
from tasks.dataset import (
    assemble_dataset_shard,
    generate_shard,
    join_shards,
    select_utterances,
    truncate_shard,
)
from tasks.evaluate import SpokenSet, score_systems, stream_system
from tasks.finetune import finetune_system
from tasks.store import Manifest, Store
from tasks.workspace import Workspace
from tests.support.corpora import write_covost2
from tests.support.micro import random_micro_lalm
from train.config import FinetuneConfig

PROVENANCE = Provenance(
    draft="self", rule="greedy", threshold=None, alpha=1.0, beta=3.0, seed=7, model="micro", model_revision="r",
    prompt_hash="p", config_hash="c", instruction="Translate.", code_version="0",
)  # fmt: skip
TRUNCATE = TruncateConfig(fraction=0.5)
DATASET = DatasetConfig(n_shards=2)
PARTIAL = PartialConfig(max_new_tokens=40)
FINETUNE = FinetuneConfig(steps=2, batch_size=4, augmented_weight=0.25)
EVALUATE = EvaluateConfig(
    chunk_ms=(800,),
    base_chunk_ms=(),
    max_new_tokens_per_step=6,
    max_new_tokens_offline=12,
    bootstrap_resamples=20,
)


def call(task: Any, workspace: Workspace, *arguments: Any) -> Manifest:
    """The stage function inside a Prefect task."""
    workspace.begin(task.name)
    made: Manifest = task.fn.__wrapped__(workspace, *arguments)
    return made


@dataclass(frozen=True)
class Bench:
    """A workspace on its own store, and the corpus that all stages read."""

    workspace: Workspace
    corpus: CorpusConfig

    def run(self) -> dict[str, list[Manifest]]:
        """Every stage once, in the order of the pipeline."""
        ws, corpus = self.workspace, open_corpus(self.corpus, "train")
        prompt = ws.prompt("en", "de")
        selection = call(select_utterances, ws, corpus, "train", TRUNCATE, DATASET.n_shards)
        cuts = [call(truncate_shard, ws, corpus, selection, i, TRUNCATE) for i in range(DATASET.n_shards)]
        targets = [call(generate_shard, ws, cut, PARTIAL, prompt) for cut in cuts]
        shards = [
            call(assemble_dataset_shard, ws, cut, target, i, PROVENANCE, DATASET)
            for i, (cut, target) in enumerate(zip(cuts, targets, strict=True))
        ]
        dataset = call(join_shards, ws, selection, shards, PROVENANCE, 1, DATASET)
        tuned = call(finetune_system, ws, "simulsa", corpus, "train", dataset, FINETUNE, prompt)
        spoken = SpokenSet(open_corpus(self.corpus, "test"), EVALUATE)
        streamed = [
            call(stream_system, ws, spoken, tuned.directory, chunk_ms, EVALUATE, prompt, "de")
            for chunk_ms in EVALUATE.chunks_for("simulsa")
        ]
        score = call(score_systems, ws, spoken, {"simulsa": streamed}, EVALUATE, "de", None)
        ws.close()
        return {
            "select": [selection], "truncate": cuts, "generate": targets, "assemble": shards,
            "dataset": [dataset], "finetune": [tuned], "stream": streamed, "score": [score],
        }  # fmt: skip


def make_bench(root: Path, *, batch_size: int = 4, utterances: int = 12) -> Bench:
    """A bench below `root`: tones for speech, a random model, a store."""
    corpus = write_covost2(root / "corpus", utterances)
    write_covost2(root / "corpus", 3, split="test")
    model = random_micro_lalm(root / "micro") if not (root / "micro").exists() else root / "micro"
    return Bench(workspace=_workspace(root, model, batch_size), corpus=corpus)


def make_demo_bench(root: Path) -> Bench:
    """The toy corpus and the trained micro LALM: its decisions are clear, so equal on every machine."""
    directory = build_corpus(root / "corpus", num_train=12, num_dev=1, num_test=3, progress=False)
    corpus = CorpusConfig(
        name="toy", layout="covost2", root=str(directory), src_lang="en", tgt_lang="de", license="apache-2.0"
    )
    return Bench(workspace=_workspace(root, MODEL_DIR, 4), corpus=corpus)


def _workspace(root: Path, model: Path, batch_size: int) -> Workspace:
    return Workspace(
        store=Store(root / "store"),
        model=ModelConfig(path=str(model)),
        engine=EngineConfig(batch_size=batch_size),
        seed=7,
    )
