"""`simulsa doctor`: what this machine has, what is missing, and how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from flows.config import PROFILES, load_config
from flows.demo_inputs import resolve_model
from lalm.loading import inspect_model
from lalm.vllm.environment import installed_version

TOP_LEVEL = ("augment", "lalm", "train", "evaluate", "tasks", "flows", "demo")
LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "prefect",
    "fastapi",
    "huggingface_hub",
    "pyarrow",
    "soundfile",
    "soxr",
)


def diagnose() -> dict[str, Any]:
    """Every check as {name, ok, value, remedy}; `healthy` when all are ok. No secret is ever a value."""
    checks = [check() for check in CHECKS]
    return {"healthy": all(check["ok"] for check in checks), "checks": checks}


def diagnose_deployments(prefect_file: Path | None = None) -> dict[str, Any]:
    """Every deployment of prefect.yaml as a check of the same form; no server is asked."""
    from flows.deployments import PREFECT_YAML, check_deployments

    checks = [
        _check(
            found.name,
            not found.problems,
            found.summary or "cannot be deployed",
            "\n    ".join(found.problems),
        )
        for found in check_deployments(prefect_file or PREFECT_YAML)
    ]
    return {"healthy": all(check["ok"] for check in checks), "checks": checks}


def print_diagnosis(result: dict[str, Any]) -> None:
    """One line per check; a failed one with its remedy."""
    for check in result["checks"]:
        print(f"{'ok ' if check['ok'] else 'BAD'} {check['name']}: {check['value']}")
        if not check["ok"]:
            print(f"    {check['remedy']}")


def foreign_owners() -> dict[str, list[str]]:
    """Installed distributions other than simulsa that own one of our top-level names."""
    owners = packages_distributions()
    found = {name: [o for o in owners.get(name, []) if o != "simulsa"] for name in TOP_LEVEL}
    return {name: others for name, others in found.items() if others}


def _check(name: str, ok: bool, value: str, remedy: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "value": value, "remedy": remedy}


def _python() -> dict[str, Any]:
    ok = sys.version_info >= (3, 11)
    return _check(
        "python", ok, platform.python_version(), "simulsa needs Python 3.11 or newer: make PYTHON=python3.12"
    )


def _libraries() -> dict[str, Any]:
    found = {name: _version(name) for name in LIBRARIES}
    missing = [name for name, number in found.items() if number is None]
    value = ", ".join(f"{name} {number}" for name, number in found.items())
    return _check("libraries", not missing, value, f"missing: {', '.join(missing)}; run make setup")


def _vllm() -> dict[str, Any]:
    found = installed_version()
    return _check(
        "vLLM", True, found or "not installed (engine.kind vllm and vllm-server need it: make vllm)"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _names() -> dict[str, Any]:
    foreign = foreign_owners()
    value = "; ".join(f"{name} also belongs to {', '.join(others)}" for name, others in foreign.items())
    remedy = f"pip uninstall {' '.join(o for others in foreign.values() for o in others)}"
    return _check("package names", not foreign, value or "ours alone", remedy)


def _device() -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        return _check("device", True, f"cpu, {os.cpu_count()} cores, torch threads {torch.get_num_threads()}")
    free, total = torch.cuda.mem_get_info()
    return _check("device", True, f"{torch.cuda.get_device_name()}, {free >> 30} of {total >> 30} GiB free")


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(".").free
    return _check(
        "disk",
        free > 2 << 30,
        f"{free >> 30} GiB free here",
        "the demo needs 2 GiB: free some, or set outputs",
    )


def _model() -> dict[str, Any]:
    return _guarded("micro LALM", lambda: inspect_model(resolve_model(load_config("tiny")).model).digest[:12])


def _profiles() -> dict[str, Any]:
    names = sorted(path.stem for path in PROFILES.glob("*.yaml"))
    return _guarded("profiles", lambda: ", ".join(load_config(name).name for name in names))


def _guarded(name: str, check: Callable[[], str]) -> dict[str, Any]:
    from lalm.errors import SimulsaError

    try:
        return _check(name, True, check())
    except SimulsaError as error:
        return _check(name, False, "cannot be read", str(error))


def _token() -> dict[str, Any]:
    from huggingface_hub import get_token

    return _check(
        "Hugging Face token",
        True,
        "set" if get_token() else "not set (only private Hub repositories need one)",
    )


CHECKS = (_python, _libraries, _vllm, _names, _device, _disk, _model, _profiles, _token)
