"""Fetch reads a published dataset back at a revision, and believes its manifest rather than the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from augment.card import CARD_NAME
from augment.hub.errors import HUB_ERRORS, HubError
from augment.hub.patience import Patience
from augment.hub.remote import Remote
from augment.hub.tokens import find_token
from augment.manifest import MANIFEST_NAME, verify_dataset


def fetch_dataset(
    repo: str,
    revision: str,
    *,
    token: str | None = None,
    endpoint: str | None = None,
    cache_dir: Path | None = None,
    patience: Patience | None = None,
) -> Path:
    """The local snapshot of a dataset, every file of the sha256 that its manifest names.

    A snapshot that is in the cache is not downloaded again, and suffices offline. Raises HubError when it cannot be
    had, DatasetError when it is no dataset of ours or a file beside the shards, ShardError when a shard is not what
    the manifest says.
    """
    remote = Remote(repo, "dataset", token=find_token(token), endpoint=endpoint)
    patience = patience or Patience()
    patience.limit_silence()

    def download() -> Path:
        with _bare_errors(f"{repo}@{revision}"):
            return Path(
                snapshot_download(
                    repo,
                    repo_type="dataset",
                    revision=revision,
                    token=remote.api.token,
                    endpoint=remote.endpoint,
                    cache_dir=cache_dir,
                    allow_patterns=[MANIFEST_NAME, CARD_NAME, "*.parquet", "pictures/*.png"],
                )
            )

    with remote.explained():
        commit = None if constants.HF_HUB_OFFLINE else patience(lambda: remote.head(revision))
        snapshot = patience(download)
    if commit not in (None, snapshot.name):
        raise HubError(
            f"{repo}@{revision} is {commit} on the Hub but {snapshot.name} in the cache: the Hub stopped answering, or "
            "it moved meanwhile; fetch it again"
        )
    verify_dataset(snapshot)
    return snapshot


@contextmanager
def _bare_errors(place: str) -> Iterator[None]:
    """The client takes any trouble for absence and looks into its cache; here the trouble itself is wanted."""
    try:
        yield
    except LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, HUB_ERRORS) and not constants.HF_HUB_OFFLINE:
            raise error.__cause__ from None
        raise HubError(f"{place} is not in the local cache; fetch it once while online") from error
