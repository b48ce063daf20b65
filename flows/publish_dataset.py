"""Publish a finished dataset to the Hugging Face Hub: after a run, or on its own, by hand or on a schedule."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow

from augment.hub.config import PublishConfig
from tasks.publish import publish_to_hub


@flow(name="publish-dataset", persist_result=False)
def publish_dataset(dataset_dir: Path, config: PublishConfig) -> dict[str, Any]:
    """One commit on the Hub, or none when it holds exactly this already."""
    return asdict(publish_to_hub(dataset_dir, config))
