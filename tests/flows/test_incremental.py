"""A nightly run: only what is new is made, one revision is published, and without news nothing happens at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings
from prefect.testing.utilities import prefect_test_harness

import tasks.accelerator
from flows.config import RunConfig
from flows.history import all_records
from flows.refresh_dataset import refresh_dataset
from flows.run_status import run_status
from flows.session import session_for
from tasks.artifacts import ArtifactReporter, Artifacts
from tasks.workspace import StoppedError
from tests.support.hub import Hub, running_hub
from tests.support.random_run import random_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning"),  # the Hub client of its own httpx
]

REPO = "toy/nightly"


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    with (
        temporary_settings({PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}),
        prefect_test_harness(server_startup_timeout=120),
    ):
        yield


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", hub.token)
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nightly")


def nightly(home: Path, utterances: int) -> State[Any]:
    """One night, with a corpus of so many utterances."""
    config: RunConfig = random_run(home, utterances, publish={"repo": REPO})
    state: State[Any] = refresh_dataset(config, return_state=True)
    return state


@pytest.fixture(scope="module")
def first(prefect: None, hub: Hub, home: Path) -> dict[str, Any]:
    summary: dict[str, Any] = nightly(home, 6).result()
    return summary


def test_first_night_makes_everything_and_publishes_it(first: dict[str, Any], hub: Hub) -> None:
    assert first["requests"]["issued"] == 12, "a draft and its verification for each of six"
    assert first["publication"]["status"] == "published"
    assert len(published(hub)) == 1


def test_night_without_news_loads_no_model_and_makes_no_commit(
    first: dict[str, Any], hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.accelerator, "load_model", refuse)
    state = nightly(home, 6)
    assert (state.name, state.is_completed()) == ("NothingNew", True)
    assert state.result()["publication"]["status"] == "unchanged"
    assert len(published(hub)) == 1
    assert last_status(home)["state"] == "nothing_new"


def test_page_of_the_dataset_and_of_the_costs_and_a_link_are_left_with_prefect(first: dict[str, Any]) -> None:
    with get_client(sync_client=True) as client:
        left = {artifact.key: artifact for artifact in client.read_artifacts()}
    assert "## Quality" in str(left["simulsa-toy-dataset"].data)
    assert "| generate |" in str(left["simulsa-toy-stages"].data)
    assert first["publication"]["commit"] in str(left["simulsa-published-toy-nightly"].data)
    assert left["simulsa-toy-dataset"].task_run_id is not None


def test_grown_corpus_is_asked_about_its_new_utterances_only_and_published_once(
    first: dict[str, Any], hub: Hub, home: Path, tmp_path: Path
) -> None:
    grown = nightly(home, 9).result()
    assert grown["requests"]["issued"] == 6, "three new utterances"
    assert grown["dataset"]["rows"] + grown["dataset"]["rejected_later"] == 9
    assert len(published(hub)) == 2
    from_scratch: dict[str, Any] = refresh_dataset(random_run_elsewhere(home, tmp_path))
    assert from_scratch["dataset"]["digest"] == grown["dataset"]["digest"]


def test_failed_run_is_recorded_and_the_next_one_continues_from_its_shards(
    first: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = random_run(home, 12, name="failing")
    with monkeypatch.context() as patch:
        patch.setattr(tasks.accelerator, "load_model", refuse)
        with pytest.raises(RuntimeError, match="no model tonight"):
            refresh_dataset(config)
    failed = last_status(home)
    assert (failed["state"], failed["error"]) == ("failed", "RuntimeError: no model tonight")
    assert states(failed) == {"select": "done", "truncate": "done", "generate": "failed"}
    refresh_dataset(config)
    assert states(last_status(home)) == {
        "select": "cached", "truncate": "cached", "generate": "done", "assemble": "done", "dataset": "done",
    }  # fmt: skip


def test_run_that_fails_stops_its_threads_alone_and_hears_no_more_of_them(home: Path) -> None:
    config = random_run(home, 6)
    with pytest.raises(ValueError, match="of the flow"), session_for(config, command="build_dataset") as ours:
        raise ValueError("of the flow")
    with pytest.raises(StoppedError):
        ours.workspace.go_on()
    ours.workspace.begin("generate")
    assert last_status(home)["stages"] == []
    with session_for(config, command="build_dataset") as next_one:
        next_one.workspace.go_on()


def test_long_stage_shows_its_progress_and_an_artifact_that_fails_is_only_logged(
    prefect: None, caplog: pytest.LogCaptureFixture
) -> None:
    def no_answer() -> None:
        raise OSError("no answer")

    @flow
    def long() -> None:
        with Artifacts() as artifacts:
            reporter = ArtifactReporter(artifacts, "long", every_s=0)
            reporter.started("generate", "1")
            reporter.advanced("generate", "1", 1, 4)
            artifacts.leave("broken", no_answer)

    long()
    with get_client(sync_client=True) as client:
        left = {artifact.key: artifact for artifact in client.read_artifacts()}
    assert left["simulsa-long-generate-progress"].data == 25.0
    assert "the artifact broken could not be left with Prefect: OSError('no answer')" in caplog.text


def refuse(*_: object) -> None:
    raise RuntimeError("no model tonight")


def random_run_elsewhere(home: Path, elsewhere: Path) -> RunConfig:
    return random_run(home, 9).model_copy(update={"outputs": str(elsewhere)})


def published(hub: Hub) -> list[str]:
    return [c.title for c in hub.repository(REPO).history() if c.title.startswith("Publish ")]


def last_status(home: Path) -> dict[str, Any]:
    return run_status(all_records(home / "outputs")[-1])


def states(status: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in status["stages"]}
