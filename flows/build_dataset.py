"""truncate -> generate (-> estimate) -> assemble: from an offline corpus to a dataset of simultaneous examples."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from prefect import flow

from augment.manifest import Provenance
from flows.config import RunConfig
from flows.session import Session, export, session_for
from flows.summary import write_summary
from lalm.languages import language_name
from lalm.prompts import prompt_hash
from tasks.comet import check_comet, comet_scorer, comet_workers
from tasks.dataset import (
    assemble_dataset_shard,
    generate_shard,
    join_shards,
    select_utterances,
    truncate_shard,
)
from tasks.estimate import estimate_shard
from tasks.publish import fetch_from_hub
from tasks.stage import threads
from tasks.store import Manifest, fingerprint


@flow(name="build-dataset", persist_result=False, task_runner=threads())
def build_dataset(config: RunConfig) -> dict[str, Any]:
    """Augment about 1 % of the corpus: choose, cut, ask the LALM, write shards; finished shards are read back."""
    with session_for(config) as session:
        ensure_dataset(session)
        return write_summary(session)


def ensure_dataset(session: Session) -> Manifest:
    """The run's dataset, built unless this session has it already, and laid into the run directory."""
    if "dataset" not in session.made:
        published = session.config.published
        session.made["dataset"] = fetch_from_hub(published) if published else build(session)
        export(session, session.made["dataset"], "dataset")
    made: Manifest = session.made["dataset"]
    return made


def build(session: Session) -> Manifest:
    """The stages of the dataset in order, shards side by side on the configured number of threads."""
    config, ws, prompt = session.config, session.workspace, session.prompt
    qe = config.dataset.quality.qe
    if qe:
        check_comet(ws, qe, references=False)
    split = config.corpus.train_split
    corpus, n_shards = session.corpus(split), config.dataset.n_shards
    selection = select_utterances.submit(ws, corpus, split, config.truncate, n_shards).result()
    cuts = [truncate_shard.submit(ws, corpus, selection, i, config.truncate) for i in range(n_shards)]
    targets = [generate_shard.submit(ws, cut, config.partial, prompt) for cut in cuts]
    pairs = list(zip(cuts, targets, strict=True))
    provenance = make_provenance(session)
    with comet_workers(ws):
        estimates = [estimate_shard.submit(ws, *pair, qe) if qe else None for pair in pairs]
        shards = [
            assemble_dataset_shard.submit(ws, *pair, i, provenance, config.dataset, estimate)
            for i, (pair, estimate) in enumerate(zip(pairs, estimates, strict=True))
        ]
        *_, finished = [
            [part.result() for part in stage if part] for stage in (cuts, targets, estimates, shards)
        ]  # first error first
    draws = config.truncate.draws_per_utterance
    return join_shards.submit(ws, selection, finished, provenance, draws, config.dataset).result()


def make_provenance(session: Session) -> Provenance:
    """How the rows are made, as every row and the manifest say it; a model directory is named, never located."""
    config, info = session.config, session.workspace.info
    languages = {"src": language_name(config.corpus.src_lang), "tgt": language_name(config.corpus.tgt_lang)}
    semantic = {name: getattr(config, name).model_dump(mode="json") for name in ("truncate", "partial")}
    semantic["dataset"] = config.dataset.semantic
    if config.dataset.quality.qe:
        semantic["qe"] = comet_scorer(session.workspace, config.dataset.quality.qe).identity
    return Provenance(
        draft=config.partial.draft, rule=config.partial.rule, threshold=config.partial.used_threshold,
        alpha=config.truncate.alpha, beta=config.truncate.beta, seed=config.seed,
        model=info.name if info.directory is None else info.directory.name,
        model_revision=info.digest, prompt_hash=prompt_hash(session.prompt),
        config_hash=fingerprint(semantic | {"seed": config.seed}),
        instruction=config.model.instruction.format(**languages), code_version=version("simulsa"),
    )  # fmt: skip
