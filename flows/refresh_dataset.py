"""The flow for a schedule: bring the dataset up to date with a corpus that grows, and publish it when it changed."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.build_dataset import build_dataset
from flows.config import RunConfig
from flows.publish_dataset import publish_from
from flows.session import finished, session_for
from tasks.stage import threads


@flow(name="refresh-dataset", persist_result=False, task_runner=threads())
def refresh_dataset(config: RunConfig) -> dict[str, Any] | State[dict[str, Any]]:
    """Cut and generate what is new in the corpus, publish a changed dataset; without news the state is `NothingNew`."""
    with session_for(config) as session:
        summary: dict[str, Any] = build_dataset(config)
        return finished(session, summary | publish_from(session))
