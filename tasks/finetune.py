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
        "config": config.model_dump(mode="json"), "dtype": ws.model.dtype, "world_size": 1,
        "libraries": LIBRARIES,
    }  # fmt: skip

    def write(out: Path) -> Mapping[str, Any]:
        with ws.model_lock:
            return _train(ws, offline, corpus, dataset, config, prompt, out, checkpoints) | {"system": system}

    with ws.store.scratch("finetune", FINETUNE_VERSION, inputs) as checkpoints:
        return ws.store.ensure("finetune", FINETUNE_VERSION, inputs, write)


def _train(
    ws: Workspace, offline: Sequence[Utterance], corpus: Corpus, dataset: Manifest | None,
    config: FinetuneConfig, prompt: Prompt, out: Path, checkpoints: Path,
) -> dict[str, Any]:  # fmt: skip
    ws.loaded.adapters.wear(None)  # an evaluation in this process may have left one on
    manifest = finetune(
        ws.loaded, offline, corpus.load_audio, prompt, dataset.directory if dataset else None, config, out,
        checkpoints=checkpoints, encodings=ws.encodings, seed=ws.seed, progress=ws.progress(),
    )  # fmt: skip
    return manifest.summary()
