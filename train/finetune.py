"""Fine-tune: LoRA steps over offline utterances with augmented rows mixed in, resumable, base model left alone.

The control is the same call with `dataset_dir=None`. Equal inputs give equal adapter bytes on one machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from augment.atomic import write_bytes
from augment.schema import Utterance
from lalm.adapters import adapter_digest
from lalm.encodings import AudioEncodings
from lalm.loading import LoadedModel
from lalm.prompts import Prompt, prompt_hash
from train.checkpoint import Checkpoints, Progress
from train.config import FinetuneConfig
from train.data import Examples, LoadAudio, TrainingExample, load_rows, offline_digest
from train.errors import TrainError
from train.lora import Lora, lora_attached
from train.loss import summed_loss
from train.manifest import AdapterManifest
from train.order import DataOrder, derived_seed

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
) -> AdapterManifest:
    """Train an adapter into `out_dir`, going on from the newest checkpoint in `checkpoints` if there is one.

    `checkpoints` is `out_dir/checkpoints` by default and is emptied at the end. Raises TrainError.
    """
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
        "config": config.model_dump(mode="json"),
    }
    store = Checkpoints(checkpoints or out_dir / CHECKPOINTS_NAME, _digest(identity))
    with lora_attached(loaded, config, derived_seed(seed, "lora")) as lora:
        run = _Run(
            loaded=loaded, lora=lora, prompt=prompt, config=config, order=order, examples=examples,
            encodings=None if lora.touches_encoder else encodings, seed=seed,
        )  # fmt: skip
        done = run.train(store, progress)
        lora.save(out_dir, Path(loaded.info.name).name)
    write_bytes(out_dir / LOG_NAME, "".join(json.dumps(line) + "\n" for line in done.log).encode())
    losses = [line["loss"] for line in done.log]
    manifest = AdapterManifest(
        adapter_digest=adapter_digest(out_dir),
        base_model=Path(loaded.info.name).name,
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
    store.clear()
    return manifest


@dataclass(slots=True, kw_only=True)
class _Run:
    loaded: LoadedModel
    lora: Lora
    prompt: Prompt
    config: FinetuneConfig
    order: DataOrder
    examples: Examples
    encodings: AudioEncodings | None
    seed: int

    def train(self, store: Checkpoints, report: Callable[[int, int], None] | None) -> Progress:
        """Every step that the newest checkpoint has not seen."""
        optimizer = torch.optim.AdamW(
            self.lora.parameters.values(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        progress = store.restore(self.lora.parameters, optimizer)
        self.examples.drawn, self.examples.skipped = Counter(progress.drawn), Counter(progress.skipped)
        while progress.step < self.config.steps:
            progress.log.append(self._step(progress.step, optimizer))
            progress.step += 1
            progress.drawn, progress.skipped = dict(self.examples.drawn), dict(self.examples.skipped)
            if progress.step % self.config.checkpoint_every == 0 and progress.step < self.config.steps:
                store.save(progress, self.lora.parameters, optimizer)
            if report:
                report(progress.step, self.config.steps)
        return progress

    def _step(self, step: int, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """One optimizer step: the mean loss over the loss-bearing tokens of the whole batch, and its gradient."""
        examples = self.examples.make(self.order.step(step))
        if not examples:
            raise TrainError(
                f"step {step + 1}: none of {self.config.batch_size} drawn examples can be used "
                f"(so far {dict(self.examples.skipped)}): mend the corpus or use a model with a longer window"
            )
        tokens = sum(len(example.target_ids) for example in examples)
        rate = learning_rate(step, self.config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = self._backward(step, examples, tokens)
        norm = torch.nn.utils.clip_grad_norm_(self.lora.parameters.values(), self.config.max_grad_norm)
        if not math.isfinite(loss) or not torch.isfinite(norm):
            raise TrainError(
                f"step {step + 1}: the loss is {loss}, its gradient {norm}: lower the learning rate"
            )
        optimizer.step()
        augmented = sum(example.source == "augmented" for example in examples)
        return {
            "step": step + 1, "loss": loss, "lr": rate, "grad_norm": float(norm), "tokens": tokens,
            "examples": len(examples), "augmented": augmented,
        }  # fmt: skip

    def _backward(self, step: int, examples: list[TrainingExample], tokens: int) -> float:
        """Accumulate gradients over micro-batches; each token weighs the same whichever one it is in."""
        size = self.config.batch_size // self.config.accumulation
        total = 0.0
        with torch.random.fork_rng(enabled=self.config.lora_dropout > 0):
            if self.config.lora_dropout:
                torch.manual_seed(derived_seed(self.seed, "dropout", step))
            for start in range(0, len(examples), size):
                loss = self._loss(examples[start : start + size]) / tokens
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
        return total

    def _loss(self, examples: list[TrainingExample]) -> torch.Tensor:
        half = self.config.precision == "bf16"
        with torch.autocast(self.loaded.device.type, dtype=torch.bfloat16, enabled=half):
            return summed_loss(self.loaded, examples, self.prompt, encodings=self.encodings)


def learning_rate(step: int, config: FinetuneConfig) -> float:
    """Linear warm-up over `warmup_ratio` of the steps, then a cosine that ends just above zero."""
    warmup = round(config.warmup_ratio * config.steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _check(loaded: LoadedModel, offline: Sequence[Utterance], config: FinetuneConfig) -> None:
    if not offline:
        raise TrainError("there is no offline utterance to train on: check the corpus and its train split")
    if config.precision == "fp32" and loaded.dtype != torch.float32:
        raise TrainError(
            f"finetune.precision is fp32 but the model was loaded as {loaded.dtype}: set finetune.precision to "
            "bf16 or model.dtype to float32"
        )


def _digest(identity: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)
