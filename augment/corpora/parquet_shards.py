"""Which Parquet files make up a split, and where they lie: a folder, or a dataset on the Hub at one commit."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from augment.audio import AudioError
from augment.corpora.base import CorpusError
from augment.corpora.config import HUB_PREFIX, CorpusConfig
from augment.hub.errors import HUB_ERRORS, HubError
from augment.hub.patience import Patience
from augment.hub.remote import Remote
from augment.hub.tokens import find_token

_HUB_ROOT = re.compile(
    rf"{HUB_PREFIX}(?P<repo>[\w][\w.-]*/[\w][\w.-]*)@(?P<revision>[^@/]+|refs/(?:convert|pr)/[^@/]+)(?P<folder>/.+)?"
)


class Shards(Protocol):
    """The Parquet files of one split, by name in a fixed order."""

    names: tuple[str, ...]

    def path(self, name: str) -> Path:
        """The file on this machine; downloaded first when it is not here. Raises CorpusError."""
        ...


class LocalShards:
    """The files of a folder; a link out of the folder is followed only into the cache of the Hub's own client."""

    def __init__(self, config: CorpusConfig, split: str) -> None:
        self._root = Path(config.root)
        paths = (path.relative_to(self._root).as_posix() for path in self._root.rglob("*.parquet"))
        self.names = _of_split(sorted(paths), config, split)

    def path(self, name: str) -> Path:
        """The file, which may have gone since. Raises AudioError when it lies elsewhere."""
        real, root = (self._root / name).resolve(), self._root.resolve()
        snapshots = next((folder for folder in (root, *root.parents) if folder.name == "snapshots"), None)
        allowed = [root] if snapshots is None else [root, snapshots.parent / "blobs"]
        if not any(real.is_relative_to(folder) for folder in allowed):
            raise AudioError("audio_outside_root", f"{name!r} leads outside of the corpus; copy it inside")
        return real


class HubShards:
    """The files of a dataset repository at the commit that its revision was when this was made."""

    def __init__(self, config: CorpusConfig, split: str, patience: Patience | None = None) -> None:
        address = _HUB_ROOT.fullmatch(config.root)
        if address is None:
            raise CorpusError(
                f"corpus {config.name!r}: root {config.root!r} is not {HUB_PREFIX}NAMESPACE/NAME@REVISION, "
                "where the revision is a tag, a commit or a branch (which may move)"
            )
        if constants.HF_HUB_OFFLINE:
            raise CorpusError(
                f"corpus {config.name!r}: HF_HUB_OFFLINE=1, and a part of {address['repo']} in the cache would look "
                "like the whole; unset it, or set root to a folder made by `hf download`"
            )
        self._remote = Remote(address["repo"], "dataset", token=find_token())
        self._patience = patience or Patience()
        self._patience.limit_silence()
        self._folder = (address["folder"] or "").strip("/")
        with self._remote.explained():
            self._commit = self._patience(lambda: self._remote.head(address["revision"]))
            files = self._patience(lambda: self._remote.files(self._commit))
        prefix = f"{self._folder}/" if self._folder else ""
        below = (name.removeprefix(prefix) for name in sorted(files) if name.startswith(prefix))
        self.names = _of_split([name for name in below if name.endswith(".parquet")], config, split)

    def path(self, name: str) -> Path:
        """The file in the cache, downloaded once. Raises HubError when it cannot be had: no row is lost for that."""

        with self._remote.explained():
            return Path(self._patience(lambda: self._download(name)))

    def _download(self, name: str) -> str:
        try:
            return hf_hub_download(
                self._remote.repo,
                name,
                subfolder=self._folder or None,
                repo_type="dataset",
                revision=self._commit,
                token=self._remote.api.token,
                endpoint=self._remote.endpoint,
            )
        except (
            LocalEntryNotFoundError
        ) as error:  # the client takes any trouble for absence; the trouble is wanted
            if isinstance(error.__cause__, HUB_ERRORS):
                raise error.__cause__ from None
            raise HubError(f"{self._remote.repo}: {name} cannot be downloaded ({error})") from error


def _of_split(names: list[str], config: CorpusConfig, split: str) -> tuple[str, ...]:
    """The names that belong to the split. Raises CorpusError when there are none, or those of several datasets."""
    if config.files is not None:
        pattern = config.files.replace("{split}", split)
        chosen = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        looked_for = pattern
    else:
        chosen = [name for name in names if split_folder(name, split) is not None]
        looked_for = f"{split}.parquet, {split}-00000-of-*.parquet or {split}/*.parquet"
        _refuse_mixture(chosen, config, split)
    if not chosen:
        raise CorpusError(
            f"corpus {config.name!r} (layout parquet): looked in {config.root} for {looked_for}; "
            f"found {names[:20] or 'no .parquet file'}. Check root, files and the split's name"
        )
    return tuple(chosen)


def split_folder(name: str, split: str) -> str | None:
    """The folder that holds the split if the file's name says that it belongs to it, else None."""
    number = r"(?:[-_.]?\d+(?:-of-\d+)?(?:-[0-9a-f]+)?)?"
    found = re.fullmatch(
        rf"(?P<folder>(?:[^/]+/)*?)(?:{re.escape(split)}/.+|{re.escape(split)}{number}\.parquet)", name
    )
    return found["folder"] if found else None


def _refuse_mixture(chosen: Iterable[str], config: CorpusConfig, split: str) -> None:
    folders = sorted({split_folder(name, split) or "" for name in chosen})
    if len(folders) > 1:
        raise CorpusError(
            f"corpus {config.name!r} (layout parquet): split {split!r} lies in several folders, {folders[:20]}, "
            "which may be different datasets; set files to a pattern such as "
            f"{folders[-1]}{{split}}*.parquet, or root to one of them"
        )
