"""The processes that train one adapter together: whose draws are whose, and what each learns of the others.

`accelerate` connects them, and its DDP sums the gradients. A process alone needs neither, and computes as before there
were several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from train.order import Draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one process made of its share of a step, and what became of all its draws until now."""

    tokens: int = 0
    examples: int = 0
    augmented: int = 0
    drawn: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            tokens=self.tokens + other.tokens,
            examples=self.examples + other.examples,
            augmented=self.augmented + other.augmented,
            drawn=self.drawn + other.drawn,
            skipped=self.skipped + other.skipped,
        )


class Ranks:
    """This process among those that train together; without an accelerator it is the only one."""

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.rank: int = accelerator.process_index if accelerator else 0
        self.size: int = accelerator.num_processes if accelerator else 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what all of them share."""
        return self.rank == 0

    def share(self, draws: Sequence[Draw]) -> Sequence[Draw]:
        """This process's part of a step: the parts of all processes are the step, whatever their number."""
        return draws[self.rank :: self.size]

    def total(self, own: Tally) -> Tally:
        """The sum over all processes; each gets it."""
        return sum(gather_object([own]), Tally()) if self._accelerator else own

    def total_loss(self, own: float) -> float:
        """The sum over all processes; each gets it."""
        if self._accelerator is None:
            return own
        value = torch.tensor(own, dtype=torch.float64, device=self._accelerator.device)
        return float(self._accelerator.reduce(value, reduction="sum"))

    def objective(
        self, parameters: Iterable[torch.nn.Parameter], loss: Callable[[Any], torch.Tensor]
    ) -> Callable[[Any], torch.Tensor]:
        """`loss`, such that the gradient it leaves in `parameters` is that of the sum over all processes."""
        if self._accelerator is None:
            return loss
        return self._accelerator.prepare_model(_Shared(parameters, loss, self.size), device_placement=False)  # type: ignore[no-any-return]

    def collecting(self, objective: Any, *, last: bool) -> AbstractContextManager[None]:
        """The block of one micro-batch: gradients stay in this process until the `last` one of a step."""
        if self._accelerator is None or last:
            return nullcontext()
        return self._accelerator.no_sync(objective)  # type: ignore[no-any-return]


class _Shared(torch.nn.Module):
    """The loss as the module that DDP wraps; it owns the trained parameters alone, so the base model stays local."""

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], loss: Callable[[Any], torch.Tensor], size: int
    ) -> None:
        super().__init__()
        self.trained = torch.nn.ParameterList(parameters)
        self._loss = loss
        self._size = size

    def forward(self, examples: Sequence[Any]) -> torch.Tensor:
        """DDP averages where we sum, and waits for every parameter, also from a process without examples."""
        nothing = torch.stack([parameter.sum() for parameter in self.trained]).sum() * 0.0
        return (self._loss(examples) * self._size if examples else 0.0) + nothing
