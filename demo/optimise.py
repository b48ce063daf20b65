"""One training loop for both stages: AdamW, warm-up and cosine, clipping, resumable checkpoints."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from demo.dice import Dice


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast a stage learns."""

    num_steps: int
    batch_size: int
    peak_rate: float
    num_warmup: int = 100
    weight_decay: float = 0.01
    checkpoint_every: int = 200

    def rate(self, step: int) -> float:
        """Linear warm-up, then a cosine down to two percent of the peak."""
        if step < self.num_warmup:
            return self.peak_rate * (step + 1) / self.num_warmup
        done = (step - self.num_warmup) / max(1, self.num_steps - self.num_warmup)
        return self.peak_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def _shuffled(count: int, key: str) -> list[int]:
    dice = Dice(key)
    return sorted(range(count), key=lambda i: dice.unit(str(i)))


def bucketed_batches(
    lengths: Sequence[int], schedule: Schedule, seed: int, pool: int = 20
) -> list[list[int]]:
    """A batch of examples of similar length for every step; batches of one pool come in random order."""
    batches: list[list[int]] = []
    epoch = 0
    while len(batches) < schedule.num_steps:
        order = _shuffled(len(lengths), f"{seed}/epoch-{epoch}")
        span = pool * schedule.batch_size
        for start in range(0, len(order), span):
            ranked = sorted(order[start : start + span], key=lengths.__getitem__)
            chunks = [ranked[i : i + schedule.batch_size] for i in range(0, len(ranked), schedule.batch_size)]
            batches += [chunks[i] for i in _shuffled(len(chunks), f"{seed}/{epoch}/{start}")]
        epoch += 1
    return batches[: schedule.num_steps]


def _groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay, vectors do not."""
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


@dataclass(kw_only=True)
class Trainer:
    """Runs a stage from its last checkpoint; ``on_checkpoint`` sees the modules that learn."""

    name: str
    modules: nn.ModuleList
    schedule: Schedule
    loss_of: Callable[[list[int], int], Tensor]
    checkpoint: Path
    on_checkpoint: Callable[[int], None] = lambda _step: None

    def run(self, batches: list[list[int]]) -> None:
        """Take one step for each batch; a finished stage returns at once."""
        optimizer = torch.optim.AdamW(_groups(self.modules, self.schedule.weight_decay), betas=(0.9, 0.98))
        first = self._resume(optimizer)
        self.modules.train()
        started, recent = time.monotonic(), 0.0
        for step in range(first, len(batches)):
            loss = self._step(optimizer, batches[step], step)
            recent = loss if step == first else 0.95 * recent + 0.05 * loss
            if (step + 1) % 25 == 0:
                pace_s = (time.monotonic() - started) / (step + 1 - first)
                left_min = pace_s * (len(batches) - step - 1) / 60
                print(
                    f"{self.name} {step + 1}/{len(batches)} loss {recent:.3f} left {left_min:.1f} min",
                    flush=True,
                )
            if (step + 1) % self.schedule.checkpoint_every == 0 or step + 1 == len(batches):
                self._save(optimizer, step + 1)
                self.modules.eval()
                self.on_checkpoint(step + 1)
                self.modules.train()
        self.modules.eval()

    def _step(self, optimizer: torch.optim.Optimizer, batch: list[int], step: int) -> float:
        for group in optimizer.param_groups:
            group["lr"] = self.schedule.rate(step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.loss_of(batch, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    def _save(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(
            {"step": step, "modules": self.modules.state_dict(), "optimizer": optimizer.state_dict()}, partial
        )
        partial.rename(self.checkpoint)

    def _resume(self, optimizer: torch.optim.Optimizer) -> int:
        if not self.checkpoint.exists():
            return 0
        state = torch.load(self.checkpoint)
        self.modules.load_state_dict(state["modules"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
