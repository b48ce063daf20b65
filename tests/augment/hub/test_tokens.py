"""A token goes to the Hub and nowhere else: not to its storage, no file, no output, no error."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from augment.hub.dataset import publish_dataset
from augment.hub.errors import HubError
from augment.hub.patience import Patience
from augment.hub.publication import Place, Publication
from augment.hub.tokens import find_token
from tests.augment.hub.conftest import REPO
from tests.support.hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload
SCRIPT = "import flows.commands.publish; from flows.cli import main; main()"


@pytest.mark.parametrize("broken", [False, True])
def test_a_canary_token_is_found_nowhere(hub: Hub, dataset: Path, tmp_path: Path, broken: bool) -> None:
    """With the client's debug log on, and a Hub that repeats the token in its refusal."""
    home = tmp_path / "home"
    home.mkdir()
    if broken:
        hub.fault("POST", "/commit/", status=403, message=f"not with Bearer {hub.token}")
    env = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home),
        "HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug", "TMPDIR": str(home),
    }  # fmt: skip
    command = [sys.executable, "-c", SCRIPT, "publish", str(dataset), "--repo", REPO, "--tag", "v1", "--json"]

    done = subprocess.run(command, check=False, capture_output=True, env=env)

    assert done.returncode == (2 if broken else 0), done.stderr.decode()[-2000:]
    assert b"POST" in done.stderr  # the debug log was on
    said = done.stdout + done.stderr
    files = [path for root in (tmp_path, dataset) for path in root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert hub.token.encode() not in said
    assert [path for path in files if hub.token.encode() in path.read_bytes()] == []
    assert (b"<token>" in said) is broken


def test_the_storage_never_sees_the_token(hub: Hub, publish: Callable[..., Publication]) -> None:
    publish()
    stored = [request for request in hub.requests if request.path.startswith("/objects/")]
    assert {request.method for request in stored} == {"PUT", "GET"}
    assert not any(request.authorized for request in stored)


def test_an_error_that_repeats_the_token_is_told_without_it_and_without_its_cause(
    hub: Hub, publish: Callable[..., Publication]
) -> None:
    hub.fault("POST", "/commit/", status=403, message=f"not with {hub.token}")
    with pytest.raises(HubError, match="<token>") as caught:
        publish()
    assert hub.token not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("bad", ["hf_two\nlines", "hf_späce", "hf_a b", "hf_\x00"])
def test_a_token_that_would_break_a_header_is_refused_unseen(bad: str) -> None:
    with pytest.raises(HubError, match="characters that no token has") as caught:
        find_token(bad)
    assert bad not in str(caught.value)


def test_a_token_comes_from_the_argument_then_the_environment(
    monkeypatch: pytest.MonkeyPatch, hub: Hub, dataset: Path, patience: Patience
) -> None:
    assert find_token() is None
    monkeypatch.setenv("HF_TOKEN", f" {hub.token}\n")
    assert find_token("hf_given\n") == "hf_given"
    assert find_token() == hub.token
    result = publish_dataset(dataset, Place(repo=REPO), endpoint=hub.url, patience=patience)
    assert result.status == "published"
