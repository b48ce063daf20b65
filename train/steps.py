"""The steps of a fine-tuning run: a global batch each, shared among the processes, resumed from checkpoints."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lalm.encodings import AudioEncodings
from lalm.loading import LoadedModel
from lalm.prompts import Prompt
from train.checkpoint import Checkpoints, Progress
from train.config import FinetuneConfig
from train.data import Examples, TrainingExample
from train.errors import TrainError
from train.lora import Lora
from train.loss import summed_loss
from train.order import DataOrder, derived_seed
from train.ranks import Ranks, Tally


@dataclass(slots=True, kw_only=True)
class Steps:
    """All that a step needs; `encodings=None` trains through the encoder."""

    loaded: LoadedModel
    lora: Lora
    prompt: Prompt
    config: FinetuneConfig
    order: DataOrder
    examples: Examples
    encodings: AudioEncodings | None
    seed: int
    ranks: Ranks

    def train(self, store: Checkpoints, report: Callable[[int, int], None] | None) -> Progress:
        """Every step that the newest checkpoint has not seen."""
        optimizer = torch.optim.AdamW(
            self.lora.parameters.values(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        progress = store.restore(self.lora.parameters, optimizer)
        if self.ranks.is_first:  # counts are summed over the processes: one goes on from those of the past
            self.examples.drawn, self.examples.skipped = Counter(progress.drawn), Counter(progress.skipped)
        objective = self.ranks.objective(self.lora.parameters.values(), self._loss)
        while progress.step < self.config.steps:
            line, total = self._step(progress.step, optimizer, objective)
            progress.log.append(line)
            progress.step += 1
            progress.drawn, progress.skipped = dict(total.drawn), dict(total.skipped)
            if self._is_checkpoint(progress.step):
                store.save(progress, self.lora.parameters, optimizer)
            if report:
                report(progress.step, self.config.steps)
        return progress

    def _is_checkpoint(self, step: int) -> bool:
        due = step % self.config.checkpoint_every == 0 and step < self.config.steps
        return due and self.ranks.is_first

    def _step(
        self, step: int, optimizer: torch.optim.Optimizer, objective: Callable[..., torch.Tensor]
    ) -> tuple[dict[str, float], Tally]:
        """One optimizer step: the mean loss over the loss-bearing tokens of the whole batch, and its gradient."""
        examples = self.examples.make(self.ranks.share(self.order.step(step)))
        total = self.ranks.total(self._tally(examples))
        if not total.examples:
            raise TrainError(
                f"step {step + 1}: none of {self.config.batch_size} drawn examples can be used "
                f"(so far {dict(total.skipped)}): mend the corpus or use a model with a longer window"
            )
        rate = learning_rate(step, self.config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = self.ranks.total_loss(self._backward(step, examples, total.tokens, objective))
        norm = torch.nn.utils.clip_grad_norm_(self.lora.parameters.values(), self.config.max_grad_norm)
        if not math.isfinite(loss) or not torch.isfinite(norm):
            raise TrainError(
                f"step {step + 1}: the loss is {loss}, its gradient {norm}: lower the learning rate"
            )
        optimizer.step()
        line = {
            "step": step + 1, "loss": loss, "lr": rate, "grad_norm": float(norm), "tokens": total.tokens,
            "examples": total.examples, "augmented": total.augmented,
        }  # fmt: skip
        return line, total

    def _tally(self, examples: list[TrainingExample]) -> Tally:
        return Tally(
            tokens=sum(len(example.target_ids) for example in examples),
            examples=len(examples),
            augmented=sum(example.source == "augmented" for example in examples),
            drawn=self.examples.drawn,
            skipped=self.examples.skipped,
        )

    def _backward(
        self, step: int, examples: list[TrainingExample], tokens: int, objective: Callable[..., torch.Tensor]
    ) -> float:
        """Accumulate gradients over micro-batches; each token weighs the same whichever one it is in.

        Returns this process's part of the loss. Together with others it goes through every micro-batch, also an
        empty one: they wait for it.
        """
        size = self.config.batch_size // (self.config.accumulation * self.ranks.size)
        total = 0.0
        with torch.random.fork_rng(enabled=self.config.lora_dropout > 0):
            if self.config.lora_dropout:
                torch.manual_seed(self._dropout_seed(step))
            for part in range(self.config.accumulation):
                own = examples[part * size : (part + 1) * size]
                if not own and self.ranks.size == 1:
                    continue
                with self.ranks.collecting(objective, last=part == self.config.accumulation - 1):
                    loss = objective(own) / tokens
                    loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
        return total / self.ranks.size

    def _dropout_seed(self, step: int) -> int:
        purpose = "dropout" if self.ranks.is_first else f"dropout.{self.ranks.rank}"
        return derived_seed(self.seed, purpose, step)

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
