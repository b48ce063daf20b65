"""COMET in tests: the real package in its own environment, over tiny checkpoints with random weights."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lalm.comet import CometConfig, CometError, Segment

KINDS = ("reference", "referenceless", "kiwi", "xcomet")
_SCRIPT = Path(__file__).with_name("comet_checkpoints.py")


def require_comet() -> None:
    """Skip where COMET's environment is absent; in CI its absence is a failure."""
    try:
        CometConfig(model="any").interpreter()
    except CometError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must test COMET: {error}")
        pytest.skip(str(error))


def checkpoint(kind: str) -> Path:
    """A checkpoint of one of KINDS, or the `encoder` that they share."""
    require_comet()
    return _checkpoints() / kind


def expected(kind: str) -> tuple[list[Segment], list[float]]:
    """Segments, and what the model gave for them before it was saved."""
    values: dict[str, Any] = json.loads((checkpoint(kind) / "expected.json").read_text())
    return [Segment(**segment) for segment in values["segments"]], values["scores"]


@cache
def _checkpoints() -> Path:
    root = Path(tempfile.mkdtemp(prefix="simulsa-comet-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    python = str(CometConfig(model="any").interpreter())
    made = subprocess.run([python, "-I", str(_SCRIPT), str(root)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return root


def hollow_checkpoint(
    directory: Path,
    hparams: str = "class_identifier: referenceless_regression_metric",
    weights: bytes = b"none",
) -> Path:
    """A directory laid out as a checkpoint, for what is known of it before its weights are read."""
    (directory / "checkpoints").mkdir(parents=True)
    (directory / "hparams.yaml").write_text(hparams)
    (directory / "checkpoints" / "model.ckpt").write_bytes(weights)
    return directory
