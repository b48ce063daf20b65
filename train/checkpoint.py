"""Checkpoints hold all that the next step depends on, in safetensors and JSON: a resumed run equals an unbroken one.

Draws and dropout are functions of seed and step, so there is no generator state to keep.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from augment.atomic import flush_to_disk, flush_tree
from train.errors import TrainError

_MOMENTS = ("exp_avg", "exp_avg_sq")
_NAME = re.compile(r"step-(\d{8})")


@dataclass(slots=True, kw_only=True)
class Progress:
    """What a run has done so far: finished steps, the log line of each, and what became of its draws."""

    step: int = 0
    log: list[dict[str, float]] = field(default_factory=list)
    drawn: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run in one directory; `identity` names the run, and another run's are refused."""

    def __init__(self, directory: Path, identity: str) -> None:
        self._directory = directory
        self._identity = identity

    def save(
        self, progress: Progress, parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> None:
        """Write a checkpoint whole or not at all, then drop the older ones."""
        final = self._directory / f"step-{progress.step:08d}"
        staging = self._directory / f".{final.name}.tmp"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        save_file(_tensors(parameters, optimizer), staging / "state.safetensors")
        state = {
            "identity": self._identity,
            "step": progress.step,
            "log": progress.log,
            "drawn": progress.drawn,
            "skipped": progress.skipped,
        }
        (staging / "state.json").write_text(json.dumps(state))
        flush_tree(staging)
        older = self._found()
        shutil.rmtree(final, ignore_errors=True)
        staging.rename(final)
        flush_to_disk(self._directory)
        for path in older:
            if path != final:
                shutil.rmtree(path)

    def restore(
        self, parameters: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> Progress:
        """Load the newest checkpoint into weights and optimizer; a fresh Progress when there is none."""
        found = self._found()
        if not found:
            return Progress()
        state: dict[str, Any] = json.loads((found[-1] / "state.json").read_text())
        if state.pop("identity") != self._identity:
            raise TrainError(
                f"{found[-1]} is a checkpoint of another model, data or configuration: remove {self._directory} "
                "or give another directory"
            )
        _restore(load_file(found[-1] / "state.safetensors"), parameters, optimizer)
        return Progress(**state)

    def clear(self) -> None:
        """Remove every checkpoint, and the directory when nothing else is in it."""
        for path in [*self._found(), *self._directory.glob(".step-*.tmp")]:
            shutil.rmtree(path)
        if self._directory.is_dir() and not any(self._directory.iterdir()):
            self._directory.rmdir()

    def _found(self) -> list[Path]:
        return sorted(path for path in self._directory.glob("step-*") if _NAME.fullmatch(path.name))


def _tensors(parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"weight/{name}": p.detach() for name, p in parameters.items()}
    for moment in _MOMENTS:
        tensors |= {f"{moment}/{name}": optimizer.state[p][moment] for name, p in parameters.items()}
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()} | {
        "updates": next(iter(optimizer.state.values()))["step"].cpu()
    }


@torch.no_grad()
def _restore(
    tensors: Mapping[str, Tensor],
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(tensors[f"weight/{name}"])
        state = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in _MOMENTS}
        optimizer.state[parameter] = {"step": tensors["updates"].clone(), **state}
