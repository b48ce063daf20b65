"""One workspace per run: flows called inside a flow share it, so the model is loaded once."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from augment.corpora import Corpus, open_corpus
from flows.config import RunConfig, dump_config
from flows.console import ConsoleReporter
from flows.demo_inputs import DemoInputs, prepare_demo
from flows.interrupt import STOPPING
from lalm.prompts import Prompt
from tasks.store import Manifest, Store, StoreError
from tasks.workspace import Workspace


@dataclass(slots=True)
class Session:
    """A run in progress: its resolved configuration, its workspace, and what its flows have made so far."""

    config: RunConfig
    workspace: Workspace
    demo: DemoInputs | None
    made: dict[str, Any] = field(default_factory=dict)

    def corpus(self, split: str) -> Corpus:
        """The configured corpus; raises CorpusError when its layout is not what the configuration says."""
        return open_corpus(self.config.corpus, split)

    @property
    def prompt(self) -> Prompt:
        """The prompt of the configured language pair."""
        return self.workspace.prompt(self.config.corpus.src_lang, self.config.corpus.tgt_lang)


_CURRENT: ContextVar[Session | None] = ContextVar("simulsa_session", default=None)


@contextmanager
def session_for(config: RunConfig, *, read_only: bool = False) -> Iterator[Session]:
    """The session of the enclosing flow, or a new one that ends with this block.

    A new session checks model and corpus before any work: ModelError or CorpusError come from here. A read-only
    one makes nothing: a stage that is not in the store raises StoreError.
    """
    current = _CURRENT.get()
    if current is not None:
        yield current
        return
    with ConsoleReporter() as reporter:
        resolved, demo = prepare_demo(config, build=not read_only)
        workspace = Workspace(
            store=Store(resolved.store_dir, read_only=read_only),
            model=resolved.model,
            engine=resolved.engine,
            seed=resolved.seed,
            workers=resolved.workers,
            reporter=reporter,
            stopping=STOPPING,
        )
        session = Session(config=resolved, workspace=workspace, demo=demo)
        _check(session)
        token = _CURRENT.set(session)
        try:
            yield session
        finally:
            _CURRENT.reset(token)
            workspace.close()


def _check(session: Session) -> None:
    """Fail on a wrong model or corpus before the first stage; leave the resolved configuration beside the results."""
    session.workspace.info  # noqa: B018 - raises ModelError
    session.corpus(session.config.corpus.train_split)
    if session.workspace.store.read_only:
        return
    run_dir = session.config.run_dir
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.yaml").write_text(dump_config(session.config))


def export(session: Session, manifest: Manifest, name: str) -> None:
    """Copy a stage's output to `name` in the run directory, unless this very output lies there already.

    Raises StoreError rather than replace a directory that no run wrote.
    """
    target = session.config.run_dir / name
    marker = target / ".stage-key"
    if session.workspace.store.read_only or (marker.is_file() and marker.read_text() == manifest.key):
        return
    if target.exists() and not marker.is_file() and any(target.iterdir()):
        raise StoreError(
            f"{target} holds something that no run wrote, and is kept: move it, or name the run otherwise"
        )
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.draft")
    shutil.copytree(manifest.directory, draft)
    (draft / ".stage-key").write_text(manifest.key)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(target)
