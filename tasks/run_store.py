"""The stage store as one run uses it: it looks before it writes, and makes again what it was told to make again."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.checks import check_needs
from tasks.store import Manifest, RemoteStore, Store, StoreError, Verify, is_url, stage_key


@dataclass(frozen=True)
class Again:
    """The stages to make again in one run; `run` tells it from the next run in a worker process that serves both."""

    stages: tuple[str, ...] = ()
    run: str = field(default_factory=lambda: uuid.uuid4().hex)


class RunStore(Store):
    """A store in a directory that makes the stages of `again` once more in this run, though it has them.

    Nothing that another run may read is deleted: an output's files stay where they are, only the manifest that names
    them gives its place to that of the new attempt, and gets it back when the attempt fails. Of a run that was killed
    meanwhile, it does not: the next run that needs the output makes it.
    """

    again = Again()

    def make_again(self, again: Again) -> None:
        """Make the outputs of these stages at their first use from now on."""
        self.again = again
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.again.stages:
            return super().__reduce__()
        return _reopen, (self.root.absolute(), self.read_only, self.again)

    def ensure(
        self,
        stage: str,
        version: int,
        inputs: Mapping[str, Any],
        write: Callable[[Path], Mapping[str, Any]],
        *,
        verify: Verify = "size",
    ) -> Manifest:
        """`Store.ensure`, with a check of disk and GPU before anything is written: RoomError."""

        def checked(directory: Path) -> Mapping[str, Any]:
            check_needs(directory)
            return write(directory)

        key = stage_key(stage, version, inputs)
        with self._set_aside(key) if self._makes_again(stage, key) else contextlib.nullcontext():
            return super().ensure(stage, version, inputs, checked, verify=verify)

    def _makes_again(self, stage: str, key: str) -> bool:
        """True for the first use in this run of an output that is to be made again."""
        if self.read_only or stage not in self.again.stages:
            return False
        with self._lock:
            first = key not in self._made
            self._made.add(key)
        return first

    @contextlib.contextmanager
    def _set_aside(self, key: str) -> Iterator[None]:
        """Without its manifest the output counts as absent; the manifest comes back when this block fails."""
        manifest = self.objects / key / "manifest.json"
        earlier = manifest.with_name(f"manifest.before-{uuid.uuid4().hex[:8]}.json")
        self._touch(key)  # its age from now on: housekeeping must not take what may come back
        with contextlib.suppress(FileNotFoundError):
            manifest.replace(earlier)
        try:
            yield
        except BaseException:
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.link(earlier, manifest)
            raise


class RemoteRunStore(RunStore, RemoteStore):
    """The same over a bucket, where nothing can be made again: a manifest there cannot be put back in one step."""


def open_run_store(
    location: str | Path, copies: Path, *, read_only: bool = False, again: Collection[str] = ()
) -> RunStore:
    """The store of a run; StoreError where it is in a bucket and something is to be made again."""
    if not is_url(location):
        return _reopen(Path(location), read_only, Again(tuple(again)))
    if again:
        raise StoreError(
            f"the store {location} is in a bucket, where no stage can be made again: change the run's seed, or give it "
            "a store in a directory"
        )
    return RemoteRunStore(str(location), copies, read_only=read_only)


def _reopen(root: Path, read_only: bool, again: Again) -> RunStore:
    store = RunStore(root, read_only=read_only)
    store.make_again(again)
    return store
