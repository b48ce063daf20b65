"""The fine-tuning stage: one LoRA adapter per system, resumed from its checkpoints after a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from augment.corpora import Corpus
from augment.schema import Rejection, Utterance
from lalm.prompts import Prompt
from tasks.inputs import audio_digest
from tasks.stage import stage_task
from tasks.store import Manifest
from tasks.workspace import Workspace
from train.config import FinetuneConfig
from train.finetune import finetune
from train.launch import Training, finetune_over_processes

FINETUNE_VERSION = 1
LIBRARIES = {name: version(name) for name in ("peft", "torch", "transformers", "soxr", "soundfile")}


@stage_task("finetune")
def finetune_system(
    ws: Workspace,
    system: str,
    corpus: Corpus,
    split: str,
    dataset: Manifest | None,
    config: FinetuneConfig,
    prompt: Prompt,
) -> Manifest:
    """Train `control` (offline data only, `dataset=None`) or `simulsa` (the same steps and seed, rows mixed in)."""
    if dataset is None:
        config = config.model_copy(
            update={"augmented_weight": None}
        )  # no say in a run without augmented rows
    offline = [entry for entry in corpus if not isinstance(entry, Rejection)]
    audio = audio_digest(ws.digests, corpus, offline, ws.progress())
    inputs = {
        "model": ws.info.digest, "corpus": corpus.digest(), "split": split, "audio": audio,
        "dataset": dataset.info["digest"] if dataset else None, "prompt": list(prompt.ids), "seed": ws.seed,
        "config": config.identity(), "dtype": ws.model.dtype, "world_size": config.processes,
        "libraries": LIBRARIES,
    }  # fmt: skip

    def write(out: Path) -> Mapping[str, Any]:
        with ws.model_lock:
            return _train(ws, offline, corpus, dataset, config, prompt, out, checkpoints) | {"system": system}

    with ws.store.scratch("finetune", FINETUNE_VERSION, inputs, waiting=ws.go_on) as checkpoints:
        return ws.store.ensure("finetune", FINETUNE_VERSION, inputs, write)


def _train(
    ws: Workspace, offline: Sequence[Utterance], corpus: Corpus, dataset: Manifest | None,
    config: FinetuneConfig, prompt: Prompt, out: Path, checkpoints: Path,
) -> dict[str, Any]:  # fmt: skip
    dataset_dir = dataset.directory if dataset else None
    if config.processes > 1:
        ws.accelerator.close()  # the processes load the model themselves, and need the memory
        training = Training(
            model=ws.model, corpus=corpus.config, split=corpus.split, dataset_dir=dataset_dir, prompt_ids=prompt.ids,
            stop_ids=prompt.stop_ids, config=config, out_dir=out, checkpoints=checkpoints, seed=ws.seed,
        )  # fmt: skip
        return finetune_over_processes(training, ws.progress()).summary()
    ws.loaded.adapters.wear(None)  # an evaluation in this process may have left one on
    manifest = finetune(
        ws.loaded, offline, corpus.load_audio, prompt, dataset_dir, config, out,
        checkpoints=checkpoints, encodings=ws.encodings, seed=ws.seed, progress=ws.progress(),
    )  # fmt: skip
    return manifest.summary()
