"""What a timed evaluation says it ran on is a name or `unknown`, never an error text."""

import os
from pathlib import Path

import pytest

from tasks.hardware import gpu_name


@pytest.mark.parametrize(("rc", "name"), [(0, "NVIDIA H100"), (9, "unknown")])
def test_a_failed_nvidia_smi_names_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rc: int, name: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho 'NVIDIA H100'\nexit {rc}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert gpu_name() == name
