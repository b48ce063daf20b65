"""Publish a finished dataset to the Hugging Face Hub: after a run, or on its own, by hand or on a schedule."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from augment.hub.config import PublishConfig
from flows.session import NOTHING_NEW, Session
from tasks.publish import publish_to_hub


@flow(name="publish-dataset", persist_result=False)
def publish_dataset(dataset_dir: Path, config: PublishConfig) -> dict[str, Any] | State[dict[str, Any]]:
    """One commit on the Hub; none, and the state `NothingNew`, when it holds exactly this already."""
    publication = asdict(publish_to_hub(dataset_dir, config))
    if publication["status"] == "unchanged":
        return Completed(name=NOTHING_NEW, message=f"{config.repo} holds this already", data=publication)
    return publication


def publish_from(session: Session) -> dict[str, Any]:
    """Publish the session's dataset where its configuration says so; what the summary of the run says of it."""
    config = session.config.publish
    if config is None:
        return {}
    publication: Any = publish_dataset(session.config.run_dir / "dataset", config)
    session.made["publication"] = publication
    if session.record is not None:
        facts = {name: publication[name] for name in ("status", "repo", "commit", "tag", "url")}
        session.record.note("published", **facts)
    return {"publication": publication}
