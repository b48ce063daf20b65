"""The adapter manifest says what was trained, on what, and how it went; no host, path or time enters it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from augment.atomic import write_bytes

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterManifest:
    """A trained LoRA: `drawn` counts examples met by source, `skipped` draws left out by `source.reason`.

    `augmented_weight` is the share of draws planned for augmented rows, 0.0 for a control.
    """

    adapter_digest: str
    base_model: str
    base_digest: str
    prompt_hash: str
    offline_digest: str
    dataset_digest: str | None
    offline_utterances: int
    augmented_rows: int
    augmented_weight: float
    drawn: dict[str, int]
    skipped: dict[str, int]
    target_tokens: int
    loss_first: float
    loss_last: float
    trainable_parameters: int
    seed: int
    config: dict[str, Any]
    format_version: int = FORMAT_VERSION

    def summary(self) -> dict[str, Any]:
        """The numbers a person asks for first."""
        return {
            "adapter_digest": self.adapter_digest,
            "loss_first": self.loss_first,
            "loss_last": self.loss_last,
            "drawn": self.drawn,
            "skipped": self.skipped,
            "augmented_weight": self.augmented_weight,
            "trainable_parameters": self.trainable_parameters,
        }

    def save(self, directory: Path) -> None:
        """Write manifest.json, with which the adapter begins to exist."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False)
        write_bytes(directory / MANIFEST_NAME, (text + "\n").encode())


def load_manifest(directory: Path) -> AdapterManifest:
    """The manifest of an adapter that was just trained."""
    return AdapterManifest(**json.loads((directory / MANIFEST_NAME).read_bytes()))
