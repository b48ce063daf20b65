"""Which COMET model scores, and the interpreter of the environment it lives in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lalm.errors import SimulsaError

COMET_VERSION = "2.2.7"
"""Part of every score's identity, so the worker takes no other; requirements.txt pins it."""

PYTHON_VARIABLE = "SIMULSA_COMET_PYTHON"
DEFAULT_PYTHON = Path(__file__).resolve().parents[2] / ".venv-comet" / "bin" / "python"


class CometError(SimulsaError):
    """A COMET model, environment or worker that cannot score."""


class CometConfig(BaseModel):
    """A COMET model and how it is run; only `model` and `revision` can change a score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        min_length=1,
        description="Hub id such as Unbabel/wmt22-cometkiwi-da, or a directory with hparams.yaml and "
        "checkpoints/model.ckpt.",
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a Hub model.")
    python: str | None = Field(
        default=None,
        description=f"Interpreter of COMET's environment; null: ${PYTHON_VARIABLE}, else .venv-comet of `make comet`.",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="cuda shares its memory with whatever engine is open at the time."
    )
    batch_size: int = Field(default=16, ge=1, description="Segments per forward pass.")
    timeout_s: float = Field(
        default=900, gt=0, description="A worker that is silent for so long is ended: loading, or 8 batches."
    )
    trust_pickle: bool = Field(
        default=False,
        description="Load a checkpoint that holds more than tensors and plain values: it can run any code.",
    )

    def interpreter(self) -> Path:
        """The interpreter to start; CometError says how to make its environment."""
        named = self.python or os.environ.get(PYTHON_VARIABLE)
        path = Path(named) if named else DEFAULT_PYTHON
        if not path.is_file():
            raise CometError(
                f"{path} is not there, and COMET needs an environment of its own: run `make comet`, or name its "
                f"interpreter in ${PYTHON_VARIABLE}"
            )
        return path.absolute()
