"""Hub models: a revision is resolved to a commit first, and only files that cannot run code are downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

from huggingface_hub import HfApi, ModelInfo, constants, hf_hub_download, snapshot_download
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

    Its config.json is downloaded by the revision's name, so that the name is found again offline. Online the Hub
    itself must answer: what the cache holds may be older than what the revision names now.
    """
    online = None if constants.HF_HUB_OFFLINE else _ask(repo, revision)
    commit = download_file(repo, revision, "config.json").parent.name
    if online is None:
        return commit, {path.name for path in download(repo, commit).iterdir()}
    if commit != online.sha:
        raise ModelError(
            f"model {repo}@{revision or 'main'} is {online.sha} on the Hub but {commit} in the cache: the Hub stopped "
            "answering, or it moved meanwhile; run again"
        )
    return commit, {name for name in _names(online) if "/" not in name}


def download(repo: str, revision: str | None, *, without_weights: bool = False) -> Path:
    """The local snapshot of `repo` at `revision`; taken from the cache alone when HF_HUB_OFFLINE=1.

    Without an answer of the Hub the client takes the cache's snapshot for the whole, whatever it lacks: that is an
    error here.
    """
    patterns = [p for p in DECIDING_PATTERNS if not (without_weights and p in WEIGHT_PATTERNS)]
    offline = constants.HF_HUB_OFFLINE
    wanted = [] if offline else _matching(_names(_ask(repo, revision)), patterns)
    try:
        snapshot = Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=patterns if offline else wanted,
                ignore_patterns="*/*" if offline else None,
            )
        )
    except HUB_ERRORS as error:
        _explain(repo, revision, error)
    missing = [name for name in wanted if not (snapshot / name).is_file()]
    if missing:
        raise ModelError(
            f"model {repo}@{revision or 'main'} is not whole in the cache, {missing[0]} is missing: the Hub stopped "
            "answering; run again"
        )
    return snapshot


def download_file(repo: str, revision: str | None, file: str) -> Path:
    """One file of `repo` at `revision`."""
    try:
        return Path(hf_hub_download(repo, file, revision=revision))
    except HUB_ERRORS as error:
        _explain(repo, revision, error)


def _ask(repo: str, revision: str | None) -> ModelInfo:
    """What the Hub itself says now of a revision."""
    try:
        return HfApi().model_info(repo, revision=revision)
    except HUB_ERRORS as error:
        _explain(repo, revision, error)


def _names(info: ModelInfo) -> list[str]:
    return [file.rfilename for file in info.siblings or ()]


def _matching(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The names that fit a pattern in its own folder: `*` stands for no part of a path."""
    return sorted(
        n for n in names if any(fnmatchcase(n, p) and n.count("/") == p.count("/") for p in patterns)
    )


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
