"""A COMET checkpoint: where it lies, what it is identified by, what it wants to read. Its weights stay unread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from lalm.comet.config import COMET_VERSION, CometConfig, CometError
from lalm.hub import download_file, is_hub_id
from lalm.model_files import directory_digest

HPARAMS, WEIGHTS = "hparams.yaml", "checkpoints/model.ckpt"
DIGEST_SHOWN = 12

Reference = Literal["required", "optional", "unused"]

_REFERENCE: dict[str, Reference] = {
    "regression_metric": "required",
    "referenceless_regression_metric": "unused",
    "xcomet_metric": "optional",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint with the class its hparams.yaml names.

    `revision` is the commit of a Hub model, or the digest of a directory's files. `reference` says whether the
    model reads a reference: COMET-22 must, CometKiwi cannot, xCOMET can do without.
    """

    name: str
    revision: str
    reference: Reference
    directory: Path | None

    @property
    def identity(self) -> dict[str, str]:
        """What may change a score; a directory's place is no part of it."""
        model = self.name if self.directory is None else "directory"
        return {"kind": "comet", "model": model, "revision": self.revision, "unbabel-comet": COMET_VERSION}

    @property
    def label(self) -> str:
        """The model as a row or a card names it."""
        return f"{self.name}@{self.revision[:DIGEST_SHOWN]}"

    def check_reference(self, given: bool) -> None:
        """Raise CometError where the model compares with a reference and there is none."""
        if self.reference == "required" and not given:
            raise CometError(
                f"{self.label} compares with a reference, and there is none: choose a model for quality estimation "
                "such as Unbabel/wmt22-cometkiwi-da"
            )

    def weights(self) -> Path:
        """The local path of model.ckpt, downloaded first where it is a Hub model's."""
        if self.directory is not None:
            return (self.directory / WEIGHTS).absolute()
        # Beside hparams.yaml in the snapshot, where COMET looks for it.
        download_file(self.name, self.revision, HPARAMS)
        return download_file(self.name, self.revision, WEIGHTS)


def open_checkpoint(config: CometConfig) -> Checkpoint:
    """The checkpoint that `config` names; of a Hub model only hparams.yaml is downloaded.

    Raises CometError for a directory that is no checkpoint or a class that gives no scores, ModelError where the
    Hub has no such model.
    """
    if is_hub_id(config.model):
        hparams = download_file(config.model, config.revision, HPARAMS)
        name, revision, directory = config.model, hparams.parent.name, None
    else:
        directory = Path(config.model)
        hparams = directory / HPARAMS
        for path in (hparams, directory / WEIGHTS):
            if not path.is_file():
                raise CometError(
                    f"{config.model} is neither a Hub id nor a COMET checkpoint: {path.absolute()} is not there"
                )
        name, revision = directory.resolve().name, directory_digest(directory, (HPARAMS, WEIGHTS))
    reference = _reference(config.model, _read(hparams))
    return Checkpoint(name=name, revision=revision, reference=reference, directory=directory)


def _read(path: Path) -> dict[str, Any]:
    """hparams.yaml, as YAML that can make plain values only; COMET's own reading comes after this one."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CometError(
            f"{path} is not plain YAML ({error}): take the checkpoint from its publisher"
        ) from error
    if not isinstance(values, dict):
        raise CometError(f"{path} must hold a mapping, got {type(values).__name__}")
    return values


def _reference(model: str, hparams: dict[str, Any]) -> Reference:
    found = hparams.get("class_identifier")
    if found == "unified_metric":
        inputs = hparams.get("input_segments", ("mt", "src", "ref"))
        return "unused" if "ref" not in inputs else "optional" if "src" in inputs else "required"
    if found not in _REFERENCE:
        raise CometError(
            f"{model} is of the class {found!r}, which gives no score: use a regression_metric, a "
            "referenceless_regression_metric, a unified_metric or an xcomet_metric"
        )
    return _REFERENCE[found]
