"""What a timed evaluation ran on, as it enters its key: two machines never share a measurement."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import torch

from lalm.engine_config import EngineConfig
from lalm.loading import ModelConfig, choose_device
from lalm.vllm.memory import gpus_of

ANSWER_TIMEOUT_S = 30
CPU_INFO = Path("/proc/cpuinfo")


def describe_hardware(engine: EngineConfig, model: ModelConfig) -> dict[str, str | int]:
    """Processor and threads; with CUDA also the GPUs. What cannot be found out is called `unknown`."""
    found: dict[str, str | int] = {"cpu": cpu_name(), "threads": torch.get_num_threads()}
    if choose_device(model.device).type == "cuda":
        found |= {"gpu": gpu_name(), "gpus": engine.tensor_parallel_size * engine.replicas}
    return found


def cpu_name(cpu_info: Path = CPU_INFO) -> str:
    """The processor's own name, where the system tells it."""
    lines = cpu_info.read_text().splitlines() if cpu_info.is_file() else []
    named = (
        value.strip() for key, _, value in (line.partition(":") for line in lines) if "model name" in key
    )
    return next(named, "") or platform.processor() or platform.machine() or "unknown"


def gpu_name() -> str:
    """The first GPU we may use, asked of nvidia-smi: asking CUDA would take memory from the engine."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown"
    query = [tool, f"--id={gpus_of(0, 1)[0]}", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(  # noqa: S603 - our own command line
            query, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "unknown"
    name = answer.stdout.strip() if answer.returncode == 0 else ""  # else it says there what went wrong
    return name or "unknown"
