"""The Hub's tasks: a finished dataset goes there or comes from there, and no parameter of a task holds a token."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from prefect import task
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE

from augment.hub.config import HubDatasetConfig, PublishConfig
from augment.hub.dataset import publish_dataset
from augment.hub.errors import HubError
from augment.hub.fetch import fetch_dataset
from augment.hub.publication import Place, Publication
from augment.manifest import load_manifest
from tasks.artifacts import Artifacts
from tasks.store import Manifest


@task(name="publish", persist_result=False, cache_policy=NO_CACHE)
def publish_to_hub(dataset_dir: Path, config: PublishConfig) -> Publication:
    """Publish the dataset in `dataset_dir`; see `augment.hub.dataset`."""
    place = Place(
        repo=config.repo, private=config.private, branch=config.branch, pull_request=config.pull_request,
        tag=config.tag,
    )  # fmt: skip
    publication = publish_dataset(dataset_dir, place, audio=config.audio, token=_secret(config.token_secret))
    if publication.status == "published":
        with Artifacts() as artifacts:
            artifacts.link(f"published {config.repo}", revision_url(publication), publication.repo)
    return publication


def revision_url(publication: Publication) -> str:
    """The page of the published revision: the pull request, or the files at the commit."""
    return publication.pull_request or f"{publication.url}/tree/{publication.commit}"


@task(name="fetch", persist_result=False, cache_policy=NO_CACHE)
def fetch_from_hub(config: HubDatasetConfig) -> Manifest:
    """A published dataset, verified, in the form in which the dataset stage hands one to fine-tuning."""
    directory = fetch_dataset(config.repo, config.revision, token=_secret(config.token_secret))
    manifest = load_manifest(directory)
    info = {"digest": manifest.dataset_digest, **asdict(manifest.counts), "rejected": manifest.rejected}
    return Manifest(
        key=manifest.dataset_digest, stage="fetch", version=1, attempt=directory.name, files={}, info=info,
        inputs=config.model_dump(mode="json"), directory=directory,
    )  # fmt: skip


def _secret(block: str | None) -> str | None:
    """The token in a Prefect Secret block; HubError when there is no such block or it holds no text."""
    if block is None:
        return None
    try:
        found = cast("Secret[Any]", Secret.load(block))
    except ValueError as error:
        raise HubError(
            f"token_secret: there is no Prefect Secret block {block!r}; make it, or set null to use HF_TOKEN"
        ) from error
    value = found.get()
    if not isinstance(value, str) or not value:
        raise HubError(f"token_secret: the Prefect Secret block {block!r} must hold a text")
    return value
