"""Hub models: a revision is resolved to a commit first, and only files that cannot run code are downloaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # httpx2 under 2.x, httpx under 1.x

from lalm.errors import ModelError
from lalm.model_files import DECIDING_PATTERNS, WEIGHT_PATTERNS

HUB_ERRORS = (httpx.HTTPError, OSError, HFValidationError)
"""All that the client raises: for an answer it did not want, for no answer, and for a name it does not take."""
HUB_ID = re.compile(r"^[\w][\w.-]*/[\w][\w.-]*$")


def is_hub_id(path: str) -> bool:
    """Whether `path` reads as `owner/name` and no such directory exists here."""
    return HUB_ID.match(path) is not None and not Path(path).exists()


def resolve(repo: str, revision: str | None) -> tuple[str, set[str]]:
    """The commit sha of `revision`, and the file names of the repository at that commit.

    Its config.json is downloaded by the revision's name, so that the name is found again offline.
    """
    config_json = download_file(repo, revision, "config.json")
    commit = config_json.parent.name
    if constants.HF_HUB_OFFLINE:
        return commit, {path.name for path in download(repo, commit).iterdir()}
    try:
        files = HfApi().model_info(repo, revision=commit).siblings or ()
    except HUB_ERRORS as error:
        _explain(repo, revision, error)
    return commit, {file.rfilename for file in files if "/" not in file.rfilename}


def download(repo: str, revision: str | None, *, without_weights: bool = False) -> Path:
    """The local snapshot of `repo` at `revision`; taken from the cache alone when HF_HUB_OFFLINE=1."""
    patterns = [p for p in DECIDING_PATTERNS if not (without_weights and p in WEIGHT_PATTERNS)]
    try:
        return Path(
            snapshot_download(repo, revision=revision, allow_patterns=patterns, ignore_patterns="*/*")
        )
    except HUB_ERRORS as error:
        _explain(repo, revision, error)


def download_file(repo: str, revision: str | None, file: str) -> Path:
    """One file of `repo` at `revision`."""
    try:
        return Path(hf_hub_download(repo, file, revision=revision))
    except HUB_ERRORS as error:
        _explain(repo, revision, error)


def _explain(repo: str, revision: str | None, error: Exception) -> NoReturn:
    at = f"{repo}@{revision or 'main'}"
    if isinstance(error, GatedRepoError):
        reason = "is gated; accept its terms on its page and log in with `hf auth login`"
    elif isinstance(error, RevisionNotFoundError):
        reason = "has no such revision; set model.revision to a branch, tag or commit of it"
    elif isinstance(error, RepositoryNotFoundError):
        reason = "is neither a local directory nor a Hub model that you can see; correct model.path or log in"
    elif isinstance(error, RemoteEntryNotFoundError):
        reason = f"lacks a file that every model saved by save_pretrained has ({error})"
    elif isinstance(error, LocalEntryNotFoundError) or constants.HF_HUB_OFFLINE:
        reason = (
            "is not a local directory, and the Hub cannot be reached nor is the model in the local cache; "
            "download it once while online, or point model.path at a directory"
        )
    else:
        reason = (
            f"is not a local directory, and the Hub did not answer ({type(error).__name__}: {error}); "
            "with HF_HUB_OFFLINE=1 a cached copy is used"
        )
    raise ModelError(f"model {at} {reason}") from error
