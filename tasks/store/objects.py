"""An S3 bucket as the store sees it: whole objects, one conditional write, and errors a user can mend.

Credentials, region and endpoint come from where every S3 client looks (AWS_* variables, ~/.aws, the machine's role);
they are never part of a URL, a configuration, a manifest or a message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import fsspec

from tasks.store.disk import FULL
from tasks.store.manifest import StoreError

TRANSFERS = 8
"""Objects under way at once."""


def is_url(location: str | Path) -> bool:
    """Whether a store's location is an address, not a path of this machine."""
    return "://" in str(location)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What a listing says of an object."""

    num_bytes: int
    modified: datetime


class Bucket:
    """The objects below one prefix of a bucket; opened by its first request, also in another process."""

    def __init__(self, url: str) -> None:
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[^?#@\s]*)?", url) or ".." in url.split("/"):
            raise StoreError(
                f"{_without_secrets(url)} is no store: it must be a directory or s3://bucket/prefix, without "
                "credentials or options (those come from the environment: AWS_PROFILE, AWS_ENDPOINT_URL, …)"
            )
        self.url = url.rstrip("/")

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.url,)

    def _at(self, name: str) -> str:
        return f"{self.url.removeprefix('s3://')}/{name}"

    def read(self, name: str) -> bytes | None:
        """The content of an object, or None when there is none."""
        with self._asked() as fs:
            try:
                content: bytes = fs.cat_file(self._at(name))
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return None
            return content

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless it exists (`If-None-Match: *`); False when it does.

        A write that was repeated because its answer got lost says False of itself: compare what is there.
        """
        with self._asked() as fs:
            try:
                fs.pipe_file(self._at(name), content, mode="create")
            except FileExistsError:
                return False
            return True

    def write(self, name: str, content: bytes) -> None:
        """Write an object whether it exists or not."""
        with self._asked() as fs:
            fs.pipe_file(self._at(name), content)

    def upload(self, directory: Path, names: Iterable[str], to: str) -> None:
        """Upload files of a directory below `to`, several at once."""
        ordered = list(names)
        with self._asked() as fs:
            here = [str(directory / name) for name in ordered]
            there = [self._at(f"{to}/{name}") for name in ordered]
            fs.put(here, there, batch_size=TRANSFERS)

    def download(self, name: str, path: Path) -> None:
        """Write an object's content to `path`; raises StoreError when there is none."""
        with self._asked() as fs:
            fs.get_file(self._at(name), str(path))

    def list(self, prefix: str) -> dict[str, StoredObject]:
        """The objects below `prefix`, by their name below it."""
        base = self._at(prefix).rstrip("/") + "/"
        with self._asked() as fs:
            found: Mapping[str, Mapping[str, Any]] = fs.find(base, detail=True)
        return {
            name.removeprefix(base): StoredObject(num_bytes=facts["size"], modified=facts["LastModified"])
            for name, facts in found.items()
            if facts["type"] == "file"
        }

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; those that are gone already do not matter."""
        places = [self._at(name) for name in names]
        if places:
            with self._asked() as fs:
                fs.rm(places)

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """What the client raises becomes a StoreError that names the store; a full disk of ours stays what it is."""
        fs = _client(self.url, os.getpid(), os.environ.get("AWS_ENDPOINT_URL"))
        client_errors = import_module("botocore.exceptions")
        try:
            yield fs
        except (OSError, client_errors.BotoCoreError, client_errors.ClientError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            raise StoreError(
                f"the store {self.url} cannot be used: {type(error).__name__}: {error}. Check the bucket, the "
                "endpoint (AWS_ENDPOINT_URL) and the credentials that this machine uses; the same command continues."
            ) from error


@lru_cache
def _client(url: str, process: int, endpoint: str | None) -> Any:  # noqa: ARG001 - what makes another client
    """One client per store and process: connections are shared, and do not survive a fork."""
    try:
        import_module("s3fs")
    except ImportError as error:
        raise StoreError(f"{url} needs the extra `s3`: pip install 'simulsa[s3]'") from error
    return fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)


def _code(error: OSError) -> str | None:
    """S3's own word for an error, where it said one."""
    response: Mapping[str, Mapping[str, str]] = getattr(error.__cause__, "response", {})
    return response.get("Error", {}).get("Code")


def _without_secrets(url: str) -> str:
    """A URL as it may be shown: no user, no password, no query."""
    return re.sub(r"[?#].*", "", re.sub(r"//[^/]*@", "//…@", url))
