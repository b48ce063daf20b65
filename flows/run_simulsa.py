"""The whole pipeline: build the dataset, fine-tune, evaluate; finished stages are read back."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.build_dataset import build_dataset
from flows.config import RunConfig
from flows.evaluate_streaming import check_evaluation, evaluate_streaming
from flows.finetune_lalm import finetune_lalm
from flows.publish_dataset import publish_from
from flows.session import finished, session_for
from tasks.stage import threads


@flow(name="run-simulsa", persist_result=False, task_runner=threads())
def run_simulsa(config: RunConfig) -> dict[str, Any] | State[dict[str, Any]]:
    """truncate -> generate -> assemble -> finetune -> evaluate -> publish, and a summary.json beside the results.

    The state is `NothingNew` where every stage was a hit and the Hub held the dataset already.
    """
    with session_for(config) as session:
        check_evaluation(session)
        build_dataset(config)
        finetune_lalm(config)
        summary: dict[str, Any] = evaluate_streaming(config)
        return finished(session, summary | publish_from(session))
