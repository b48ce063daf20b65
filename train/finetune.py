"""Fine-tune: LoRA steps over offline utterances with augmented rows mixed in, resumable, base model left alone.

The control is the same call with `dataset_dir=None`. Equal inputs give equal adapter bytes on one machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from augment.atomic import write_bytes
from augment.schema import Utterance
from lalm.adapters import adapter_digest
from lalm.encodings import AudioEncodings
from lalm.loading import LoadedModel, ModelInfo
from lalm.prompts import Prompt, prompt_hash
from train.checkpoint import Checkpoints
from train.config import FinetuneConfig
from train.data import Examples, LoadAudio, load_rows, offline_digest
from train.errors import TrainError
from train.lora import lora_attached
from train.manifest import AdapterManifest
from train.order import DataOrder, derived_seed
from train.ranks import Ranks
from train.steps import Steps

LOG_NAME = "train_log.jsonl"
CHECKPOINTS_NAME = "checkpoints"
LOSS_AVERAGED_OVER_STEPS = 10


def finetune(
    loaded: LoadedModel,
    offline: Sequence[Utterance],
    load_audio: LoadAudio,
    prompt: Prompt,
    dataset_dir: Path | None,
    config: FinetuneConfig,
    out_dir: Path,
    *,
    encodings: AudioEncodings,
    seed: int,
    checkpoints: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    ranks: Ranks | None = None,
) -> AdapterManifest:
    """Train an adapter into `out_dir`, going on from the newest checkpoint in `checkpoints` if there is one.

    `checkpoints` is `out_dir/checkpoints` by default and is emptied at the end. `ranks` are the processes that train
    together, of which each has an `out_dir` of its own and all have the same `checkpoints`. Raises TrainError.
    """
    ranks = ranks or Ranks()
    _check(loaded, offline, config)
    rows, dataset_digest = load_rows(dataset_dir) if dataset_dir else ([], None)
    examples = Examples(
        offline,
        rows,
        load_audio=load_audio,
        tokenizer=loaded.tokenizer,
        prompt=prompt,
        window_samples=loaded.info.window_samples,
        min_samples=loaded.info.family.min_samples,
    )
    order = DataOrder(
        [utterance.id for utterance in offline],
        [row.id for row in rows],
        seed=seed,
        batch_size=config.batch_size,
        weight=config.augmented_weight,
    )
    identity = {
        "base_digest": loaded.info.digest,
        "prompt_hash": prompt_hash(prompt),
        "offline_digest": offline_digest(offline),
        "dataset_digest": dataset_digest,
        "seed": seed,
        "config": config.identity(),
    }
    store = Checkpoints(checkpoints or out_dir / CHECKPOINTS_NAME, _digest(identity))
    with lora_attached(loaded, config, derived_seed(seed, "lora")) as lora:
        steps = Steps(
            loaded=loaded, lora=lora, prompt=prompt, config=config, order=order, examples=examples,
            encodings=None if lora.touches_encoder else encodings, seed=seed, ranks=ranks,
        )  # fmt: skip
        done = steps.train(store, progress)
        lora.save(out_dir, _public_name(loaded.info))
    write_bytes(out_dir / LOG_NAME, "".join(json.dumps(line) + "\n" for line in done.log).encode())
    losses = [line["loss"] for line in done.log]
    manifest = AdapterManifest(
        adapter_digest=adapter_digest(out_dir),
        base_model=_public_name(loaded.info),
        offline_utterances=len(offline),
        augmented_rows=len(rows),
        augmented_weight=round(order.weight, 6),
        drawn=dict(sorted(done.drawn.items())),
        skipped=dict(sorted(done.skipped.items())),
        target_tokens=int(sum(line["tokens"] for line in done.log)),
        loss_first=_mean(losses[:LOSS_AVERAGED_OVER_STEPS]),
        loss_last=_mean(losses[-LOSS_AVERAGED_OVER_STEPS:]),
        trainable_parameters=sum(p.numel() for p in lora.parameters.values()),
        **identity,  # type: ignore[arg-type]
    )
    manifest.save(out_dir)
    if ranks.is_first:
        store.clear()
    return manifest


def _check(loaded: LoadedModel, offline: Sequence[Utterance], config: FinetuneConfig) -> None:
    if not offline:
        raise TrainError("there is no offline utterance to train on: check the corpus and its train split")
    if config.precision == "fp32" and loaded.dtype != torch.float32:
        raise TrainError(
            f"finetune.precision is fp32 but the model was loaded as {loaded.dtype}: set finetune.precision to "
            "bf16 or model.dtype to float32"
        )


def _public_name(info: ModelInfo) -> str:
    """A Hub model's id, by which anyone finds it; of a directory only the last name, for paths stay here."""
    return info.name if info.directory is None else Path(info.name).name


def _digest(identity: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)
