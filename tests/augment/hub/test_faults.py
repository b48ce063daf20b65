"""Whatever happens on the way, a publication ends in one whole commit, or refuses and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from augment.hub.dataset import publish_dataset
from augment.hub.errors import HubError
from augment.hub.patience import Patience
from augment.hub.publication import Place, Publication
from tests.augment.hub.conftest import REPO, contents, titles
from tests.support.hub import READ_TOKEN, TOKEN, Hub, Repositories

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload
CONFLICT = "Cannot create repo: another conflicting operation is in progress"
COMMIT, LFS, BATCH = "/commit/main$", "^/objects/", "/info/lfs/objects/batch$"


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        ("POST", COMMIT, {"status": 409, "times": 3}),
        ("POST", COMMIT, {"status": 503, "times": 4}),
        ("POST", COMMIT, {"status": 500}),
        ("POST", COMMIT, {"status": 429, "headers": {"Retry-After": "7"}}),
        ("POST", COMMIT, {"action": "drop"}),
        ("POST", COMMIT, {"action": "disconnect"}),
        ("POST", "/preupload/", {"status": 503, "times": 2}),
        ("POST", "/preupload/", {"status": 504, "times": 7}),
        ("POST", BATCH, {"status": 500}),
        ("PUT", LFS, {"action": "disconnect", "times": 3}),
        ("PUT", LFS, {"action": "drop"}),
        ("PUT", LFS, {"status": 503, "times": 8}),
        ("GET", LFS, {"status": 503}),
        ("GET", "/tree/", {"status": 502}),
        ("GET", "/revision/main$", {"action": "drop", "times": 3}),
        ("POST", "/repos/create$", {"action": "drop"}),
        ("POST", "/repos/create$", {"status": 503}),
        ("POST", "/repos/create$", {"status": 409, "message": CONFLICT, "times": 3}),
        ("POST", "/validate-yaml$", {"action": "disconnect"}),
        ("POST", "/tag/", {"action": "drop"}),
        ("POST", "/tag/", {"status": 503, "times": 2}),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else value,
)
def test_a_passing_fault_costs_time_but_neither_a_file_nor_a_second_commit(
    hub: Hub,
    dataset: Path,
    publish: Callable[..., Publication],
    method: str,
    path: str,
    fault: dict[str, Any],
) -> None:
    hub.fault(method, path, **fault)

    result = publish(tag="v1")

    assert result.status == "published"
    assert hub.content(REPO) == contents(dataset)
    assert len(titles(hub)) == 1
    assert (
        hub.repository(REPO).refs["refs/tags/v1"] == result.commit == hub.repository(REPO).resolve("main").oid
    )
    assert all(fault.times == 0 for fault in hub.faults.coming)


def test_a_conflict_that_never_ends_ends_the_making_of_a_repository(
    hub: Hub, publish: Callable[..., Publication]
) -> None:
    """The client itself would ask again without a pause and without an end."""
    fault = hub.fault("POST", "/repos/create$", status=409, message=CONFLICT, times=100)

    with pytest.raises(HubError, match=r"409|conflict"):
        publish()
    assert 100 - fault.times == Patience().attempts


def test_the_wait_that_the_hub_asks_for_is_kept(
    hub: Hub, publish: Callable[..., Publication], waits: list[float]
) -> None:
    hub.fault("POST", COMMIT, status=429, headers={"Retry-After": "7"})
    hub.fault("POST", COMMIT, status=429, headers={"RateLimit": '"api";r=0;t=55'})

    publish()

    assert [int(wait) for wait in waits] == [7, 55]


def test_a_wait_beyond_patience_ends_it_at_once(
    hub: Hub, publish: Callable[..., Publication], waits: list[float]
) -> None:
    hub.fault("POST", COMMIT, status=429, headers={"Retry-After": "86400"})

    with pytest.raises(HubError, match=r"in all attempts; run the same command again"):
        publish()
    assert (waits, titles(hub)) == ([], [])


def test_attempts_are_bounded_and_a_later_run_goes_on_without_sending_again(
    hub: Hub, dataset: Path, publish: Callable[..., Publication], waits: list[float]
) -> None:
    ill = hub.fault("POST", COMMIT, status=503, times=1000)
    with pytest.raises(HubError, match="503"):
        publish()
    assert 1000 - ill.times == Patience().attempts
    assert all(wait <= 61 for wait in waits)
    assert hub.content(REPO) == {}
    ill.times = 0
    hub.requests.clear()

    assert publish().status == "published"
    assert not any(request.method == "PUT" for request in hub.requests)
    assert hub.content(REPO) == contents(dataset)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/repos/create$"), ("POST", "/preupload/"), ("POST", BATCH), ("POST", COMMIT)],
)
def test_a_refusal_is_final_at_once_and_leaves_nothing(
    hub: Hub, publish: Callable[..., Publication], waits: list[float], method: str, path: str, status: int
) -> None:
    hub.repositories.create("dataset", "toy/other", private=True)
    refusal = hub.fault(method, path, status=status, times=2)

    with pytest.raises(HubError, match=r"the token (is missing|may not write)"):
        publish()

    assert (waits, refusal.times) == ([], 1)
    if path != "/repos/create$":
        assert hub.content(REPO) == {}


@pytest.mark.parametrize(
    ("token", "message"), [("hf_wrong", "is missing, expired or wrong"), (READ_TOKEN, "may not write there")]
)
def test_a_wrong_token_is_told_from_one_that_may_not_write(
    hub: Hub, dataset: Path, patience: Patience, token: str, message: str
) -> None:
    with pytest.raises(HubError, match=message):
        publish_dataset(dataset, Place(repo=REPO), token=token, endpoint=hub.url, patience=patience)


def test_a_commit_that_came_between_is_kept_and_ours_goes_on_top(
    hub: Hub, dataset: Path, publish: Callable[..., Publication]
) -> None:
    hub.repositories.create("dataset", REPO, private=True)
    late = hub.fault("POST", "/preupload/", "hold")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(publish)
        assert late.reached.wait(30)
        hub.repositories.push(hub.repository(REPO), {"README.md": b"# Ours\n", "LICENSE": b"mine"})
        late.release.set()
        result = running.result()

    content = hub.content(REPO)
    assert result.status == "published"
    assert [r.path for r in hub.requests].count(
        f"/api/datasets/{REPO}/commit/main"
    ) == 2  # the first one met 412
    assert len(titles(hub)) == 1
    assert content.pop("LICENSE") == b"mine"
    assert content.pop("README.md").endswith(b"\n# Ours\n")
    assert content == {n: c for n, c in contents(dataset).items() if n != "README.md"}


def test_a_lost_answer_is_recognised_below_a_later_commit(
    hub: Hub, publish: Callable[..., Publication], patience: Patience
) -> None:
    hub.fault("POST", COMMIT, "drop")

    def wait(seconds: float) -> None:
        hub.repositories.push(hub.repository(REPO), {"LICENSE": b"mine"})

    result = publish(patience=Patience(sleep=wait))

    history = hub.repository(REPO).history()
    assert [commit.title for commit in history][::2] == ["edit by hand", "initial commit"]
    assert (result.status, result.commit) == ("published", history[1].oid)


def test_a_lost_answer_to_a_pull_request_does_not_open_a_second(
    hub: Hub, dataset: Path, publish: Callable[..., Publication]
) -> None:
    hub.fault("POST", COMMIT, "drop")

    result = publish(pull_request=True)

    assert (result.status, result.revision) == ("published", "refs/pr/1")
    assert hub.content(REPO, "refs/pr/1") == contents(dataset)
    assert len(hub.repository(REPO).pulls) == 1


def test_a_hub_that_falls_silent_is_not_waited_for(
    hub: Hub, dataset: Path, publish: Callable[..., Publication], waits: list[float]
) -> None:
    silent = hub.fault("POST", COMMIT, "hold")

    result = publish(patience=Patience(silence_s=0.5, sleep=waits.append))
    silent.release.set()

    assert (result.status, len(waits), len(titles(hub))) == ("published", 1, 1)


def test_a_hub_that_is_not_there_is_named(dataset: Path, patience: Patience) -> None:
    with pytest.raises(HubError, match=r"toy/data at http://127\.0\.0\.1:9.*ConnectError"):
        publish_dataset(
            dataset, Place(repo=REPO), token=TOKEN, endpoint="http://127.0.0.1:9", patience=patience
        )


def test_a_killed_publication_left_nothing_and_the_next_one_goes_on(
    hub: Hub, dataset: Path, publish: Callable[..., Publication]
) -> None:
    """SIGKILL while the third file is under way: what the storage has by then is not sent again."""
    stuck = hub.fault("PUT", LFS, "hold", skip=2)
    script = (
        "import sys; from pathlib import Path; from augment.hub.dataset import publish_dataset as p;"
        "from augment.hub.publication import Place; p(Path(sys.argv[1]), Place(repo='toy/data'))"
    )
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(dataset)], env=env, stderr=subprocess.DEVNULL
    ) as client:
        reached = stuck.reached.wait(60)
        while len(sent := stored(hub)) < 2 and client.poll() is None:
            time.sleep(0.01)  # the others are sent at the same time
        client.send_signal(signal.SIGKILL)
    stuck.release.set()
    assert (reached, client.returncode) == (True, -signal.SIGKILL)
    assert hub.content(REPO) == {}
    hub.requests.clear()

    assert publish().status == "published"

    again = {request.path.rpartition("/")[2] for request in hub.requests if request.method == "PUT"}
    assert len(sent) >= 2
    assert not sent & again
    assert hub.content(REPO) == contents(dataset)
    assert len(titles(hub)) == 1


def stored(hub: Hub) -> set[str]:
    """The sha256 of every object that the storage holds whole."""
    return {path.name for path in hub.repositories.objects.iterdir() if len(path.name) == 64}


@pytest.mark.parametrize("moment", ["die", "die_after"])
def test_a_hub_that_restarts_around_the_commit_gets_it_once(
    dataset: Path, tmp_path: Path, moment: str
) -> None:
    state = tmp_path / "hub"
    fault = json.dumps({"method": "POST", "path": COMMIT, "action": moment})
    process, url = start_hub(state, 0, "--fault", fault)
    running = [process]

    def restart(seconds: float) -> None:
        assert running[-1].wait(30) == -signal.SIGKILL
        running.append(start_hub(state, int(url.rsplit(":", 1)[1]))[0])

    try:
        result = publish_dataset(
            dataset, Place(repo=REPO), token=TOKEN, endpoint=url, patience=Patience(sleep=restart)
        )
    finally:
        running[-1].kill()
        running[-1].wait()
        for process in running:
            assert process.stdout
            process.stdout.close()

    repositories = Repositories(state)
    head, *earlier = repositories.get("dataset", REPO).history()
    assert (result.status, result.commit, len(running)) == ("published", head.oid, 2)
    assert [commit.title for commit in earlier] == ["initial commit"]
    files = {name: repositories.read(file.sha256) for name, file in head.files.items()}
    assert files == contents(dataset) | {".gitattributes": files[".gitattributes"]}


def start_hub(state: Path, port: int, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The Hub as a process, once it listens."""
    command = [
        sys.executable,
        "-m",
        "tests.support.hub",
        "--state",
        str(state),
        "--port",
        str(port),
        *arguments,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()
