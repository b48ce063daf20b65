"""Is there room for what a stage is about to write and load? Asked when the store does not have its output.

The estimates are meant to catch a disk or a GPU that is much too full in the first second, not to be exact.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lalm.errors import SimulsaError
from lalm.loading import ModelInfo, choose_device
from lalm.vllm.memory import gpus_of
from tasks.reporting import MODEL_STAGES
from tasks.store import Manifest
from tasks.workspace import Workspace

RESERVE_BYTES = 256 << 20
FLAC_BYTES_PER_S = 18_000
UTTERANCE_S = 10.0
RECORD_BYTES = 4_096
CHECKPOINT_SHARE = 0.06
"""Of the weights: a LoRA adapter of about 1 % of the parameters in fp32, and its optimizer, twice."""
ACTIVATION_SHARE = {"generate": 1.25, "finetune": 1.6, "stream": 1.25, "stream_timed": 1.25}
"""Of the weights: themselves and what one batch needs beside them."""
ANSWER_TIMEOUT_S = 30.0


class RoomError(SimulsaError):
    """A disk or a GPU that is too full for the next stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a stage will take, should it have to be made: bytes on disk, and on the GPU (0: it does not use one)."""

    stage: str
    disk_bytes: int
    gpu_bytes: int = 0


_NEEDS: ContextVar[Needs | None] = ContextVar("simulsa_needs", default=None)


@contextmanager
def needing(needs: Needs) -> Iterator[None]:
    """Within this block, and this thread, `check_needs` asks for these."""
    token = _NEEDS.set(needs)
    try:
        yield
    finally:
        _NEEDS.reset(token)


def check_needs(directory: Path) -> None:
    """Raise RoomError unless the disk of `directory`, and the GPU, have room for the stage that is to be made."""
    needs = _NEEDS.get()
    if needs is None:
        return
    free = shutil.disk_usage(directory).free
    if free < needs.disk_bytes + RESERVE_BYTES:
        raise RoomError(
            f"stage {needs.stage!r} will write about {_mib(needs.disk_bytes)} MiB below {directory.parent}, where "
            f"{_mib(free)} MiB are free and {_mib(RESERVE_BYTES)} MiB shall stay so: free some, or set `outputs` "
            "to a larger disk"
        )
    if needs.gpu_bytes:
        check_gpu(needs)


def check_gpu(needs: Needs) -> None:
    """Raise RoomError unless the GPU has what the stage needs; memory that this process holds already counts as had."""
    import torch

    free = free_gpu_bytes()
    if free is None or free + torch.cuda.memory_reserved() >= needs.gpu_bytes:
        return
    raise RoomError(
        f"stage {needs.stage!r} needs about {_mib(needs.gpu_bytes)} MiB on GPU {gpus_of(0, 1)[0]}, where {_mib(free)} "
        "MiB are free: end what uses it (nvidia-smi names it), or choose another with CUDA_VISIBLE_DEVICES"
    )


def free_gpu_bytes() -> int | None:
    """Free memory of the first GPU we may use; None where nvidia-smi is missing or does not say."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, f"--id={gpus_of(0, 1)[0]}", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(  # noqa: S603 - our own command line
            query, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    text = answer.stdout.strip()
    return int(text) << 20 if answer.returncode == 0 and text.isdigit() else None


def needs_of(stage: str, workspace: Workspace, arguments: Iterable[Any]) -> Needs:
    """What a call of a stage function with these arguments will need."""
    read = list(_manifests(arguments))
    if stage not in MODEL_STAGES:
        return Needs(stage=stage, disk_bytes=_disk_bytes(stage, read))
    weights = _weight_bytes(workspace.info)
    accelerator = workspace.accelerator  # vLLM looks after its own memory
    here = not accelerator.is_shared or (stage == "finetune" and not accelerator.holds_gpu_elsewhere)
    on_gpu = here and choose_device(workspace.model.device).type == "cuda"
    checkpoints = weights * CHECKPOINT_SHARE if stage == "finetune" else 0
    return Needs(
        stage=stage,
        disk_bytes=_disk_bytes(stage, read) + round(checkpoints),
        gpu_bytes=round(weights * ACTIVATION_SHARE[stage]) if on_gpu else 0,
    )


def _disk_bytes(stage: str, read: list[Manifest]) -> int:
    """Estimated from the outputs that the stage reads."""
    if stage == "dataset":
        return sum(file.num_bytes for manifest in read for file in manifest.files.values())
    return round(sum(_bytes_made_of(manifest, stage) for manifest in read))


def _bytes_made_of(manifest: Manifest, stage: str) -> float:
    facts = manifest.info
    if stage == "truncate" and manifest.stage == "select":
        shards = sum(name.startswith("selected-") for name in manifest.files)
        return float(facts["selected"] / max(shards, 1) * UTTERANCE_S * FLAC_BYTES_PER_S)
    if stage == "generate" and manifest.stage == "truncate":
        return float(facts["kept"] * RECORD_BYTES)
    if stage == "assemble" and manifest.stage == "truncate":
        return float(facts["kept_s"] * FLAC_BYTES_PER_S)
    return 0.0


def _manifests(arguments: Iterable[Any]) -> Iterator[Manifest]:
    for argument in arguments:
        if isinstance(argument, Manifest):
            yield argument
        elif isinstance(argument, list):
            yield from _manifests(argument)


def _weight_bytes(info: ModelInfo) -> int:
    """The size of the weights on disk; 0 while a model of the Hub is not downloaded."""
    if info.directory is None:
        return 0
    return sum(path.stat().st_size for path in info.directory.glob("*.safetensors"))


def _mib(num_bytes: int) -> int:
    return num_bytes >> 20
