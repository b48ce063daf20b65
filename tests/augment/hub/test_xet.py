"""Xet is how the client uploads by default; our Hub speaks its first exchange alone, so only refusals are tested.

All other tests force LFS. What Xet does after the token (chunks, xorbs, shards) is the client's and the Hub's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from augment.hub.errors import HubError
from augment.hub.publication import Publication
from tests.augment.hub.conftest import REPO, contents, titles
from tests.support.hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload


@pytest.mark.parametrize("status", [None, 401, 403])
def test_a_refused_xet_upload_is_explained_and_commits_nothing(
    hub: Hub, publish: Callable[..., Publication], monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    if status:
        hub.fault("GET", "/xet-write-token/", status=status, times=100)

    with pytest.raises(HubError, match=rf"^{REPO}"):
        publish()

    assert any("/xet-write-token/" in request.path for request in hub.requests)
    assert titles(hub) == []


def test_the_next_publication_goes_on_with_lfs(
    hub: Hub, publish: Callable[..., Publication], dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError):
        publish()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)

    assert publish().status == "published"
    assert hub.content(REPO) == contents(dataset)
