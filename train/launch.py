"""Fine-tuning over several processes of this machine: torchrun starts them, this module waits for them and explains.

It does not know how they share the work: that is `ranks`. The guardian between us and torchrun ends every process below
it when we end, however we end.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from augment.atomic import write_bytes
from augment.corpora import CorpusConfig
from lalm.loading import ModelConfig, choose_device
from train.config import FinetuneConfig
from train.errors import TrainError
from train.manifest import AdapterManifest, load_manifest

SPEC_NAME, LOG_NAME, FAILURE_NAME = "training.json", "training.log", "failure.json"
_ENDED = re.compile(r"rank +: (\d+) .*?exitcode +: -?\d+ \(pid: \d+\)(?: +\((\w+)\))?", re.DOTALL)
_RAISED = re.compile(r"^(?:\[rank\d+\]: )?(\w[\w.]*(?:Error|Exception)\b.*)$", re.MULTILINE)


class Training(BaseModel):
    """What each process is told: the arguments of `finetune`, by name instead of in memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig
    corpus: CorpusConfig
    split: str
    dataset_dir: Path | None
    prompt_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]
    config: FinetuneConfig
    out_dir: Path
    checkpoints: Path
    seed: int


def finetune_over_processes(
    training: Training, progress: Callable[[int, int], None] | None = None
) -> AdapterManifest:
    """Train an adapter as `finetune` does, in `training.config.processes` processes with a model each.

    Their log and what failed lie in `training.checkpoints`, from where the same call goes on. Raises TrainError when
    one of them ends early: none is left then.
    """
    processes = training.config.processes
    _check_devices(training.model, processes)
    work = training.checkpoints
    work.mkdir(parents=True, exist_ok=True)
    (work / FAILURE_NAME).unlink(missing_ok=True)
    write_bytes(work / SPEC_NAME, training.model_dump_json().encode())
    with _started(work, processes) as process:
        for step, steps in _steps(process, work / LOG_NAME):
            if progress:
                progress(step, steps)
        code = process.wait()
    if code:
        raise TrainError(_explain(work, processes, code))
    for name in (SPEC_NAME, LOG_NAME):
        (work / name).unlink()
    return load_manifest(training.out_dir)


def _check_devices(model: ModelConfig, processes: int) -> None:
    if choose_device(model.device).type == "cuda" and processes > torch.cuda.device_count():
        raise TrainError(
            f"finetune.processes is {processes} but torch sees {torch.cuda.device_count()} GPU(s), and each process "
            "needs its own: lower it, and raise finetune.accumulation where memory is short"
        )


@contextmanager
def _started(work: Path, processes: int) -> Iterator[subprocess.Popen[str]]:
    """The guarded torchrun; its end, also by an error in the block, is the end of all it started."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--max-restarts=0"]
    command = [
        sys.executable, "-m", "lalm.vllm.guardian", sys.executable, *launcher, f"--nproc-per-node={processes}",
        "-m", "train.worker", str(work / SPEC_NAME),
    ]  # fmt: skip
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    (work / LOG_NAME).unlink(missing_ok=True)
    with (
        (work / LOG_NAME).open("a", encoding="utf-8") as log,  # as `_steps` does, or one overwrites the other
        subprocess.Popen(  # noqa: S603 - our own modules and a path of ours
            command, env={"OMP_NUM_THREADS": threads, **os.environ}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        ) as process,
    ):  # fmt: skip
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def _steps(process: subprocess.Popen[str], log: Path) -> Iterator[tuple[int, int]]:
    """The steps that the first process announces; whatever else is printed joins the log."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith('{"step":'):
            said = json.loads(line)
            yield said["step"], said["steps"]
        else:
            with log.open("a", encoding="utf-8") as stream:
                stream.write(line)


def _explain(work: Path, processes: int, code: int) -> str:
    """What a process said that it could not do, else how the log says that it ended."""
    failure = work / FAILURE_NAME
    if failure.is_file():
        return str(json.loads(failure.read_bytes())["message"])
    log = (work / LOG_NAME).read_text(encoding="utf-8", errors="replace")
    return (
        f"fine-tuning over {processes} processes ended early, and all of them were ended: "
        f"{_cause(log) or f'exit code {code}'}; see {work / LOG_NAME}, and run again to go on from the newest "
        "checkpoint"
    )


def _cause(log: str) -> str | None:
    """The signal that killed a process, for what the others raise then is its consequence; else what was raised.

    SIGTERM is how torchrun itself ends the others.
    """
    killed = [(rank, name) for rank, name in _ENDED.findall(log) if name not in ("", "SIGTERM")]
    if killed:
        return ", ".join(f"process {rank} was killed by {name}" for rank, name in killed)
    raised = _RAISED.search(log)
    return raised.group(1) if raised else None
