"""The whole pipeline: build the dataset, fine-tune, evaluate; finished stages are read back."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.build_dataset import build_dataset
from flows.config import RunConfig
from flows.evaluate_streaming import evaluate_streaming
from flows.finetune_lalm import finetune_lalm
from flows.publish_dataset import publish_dataset
from flows.session import session_for
from tasks.stage import threads


@flow(name="run-simulsa", persist_result=False, task_runner=threads())
def run_simulsa(config: RunConfig) -> dict[str, Any]:
    """truncate -> generate -> assemble -> finetune -> evaluate, and a summary.json beside the results."""
    with session_for(config) as session:
        session.corpus(
            session.config.evaluate.split
        )  # a missing test split must not cost a fine-tuning first
        build_dataset(config)
        finetune_lalm(config)
        summary: dict[str, Any] = evaluate_streaming(config)
        if config.publish is not None:
            publish_dataset(session.config.run_dir / "dataset", config.publish)
        return summary
