"""The COMET models of a run: each one's worker is started once for all stages, and its scores are recorded.

Like the engine's, the records are in the store, so a score is computed once for all runs that share it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from lalm.comet import CometConfig, CometScorer
from tasks.journal import FileJournal
from tasks.workspace import Workspace

RECORDS = "records/comet"

_OPEN: WeakKeyDictionary[Workspace, dict[CometConfig, tuple[CometScorer, FileJournal]]] = WeakKeyDictionary()
_OPENING = threading.Lock()


def comet_scorer(ws: Workspace, config: CometConfig) -> CometScorer:
    """The scorer of this model in this run; raises CometError or ModelError where its checkpoint cannot be used."""
    return _opened(ws, config)[0]


def check_comet(ws: Workspace, config: CometConfig, *, references: bool) -> None:
    """Raise before any work what would only be found after it: no such model, one that needs references where there
    are none, or no environment to run it in."""
    comet_scorer(ws, config).checkpoint.check_reference(given=references)
    if not ws.store.read_only:
        config.interpreter()


@contextmanager
def asking_comet(ws: Workspace, config: CometConfig) -> Iterator[CometScorer]:
    """The scorer; afterwards other machines can read its records, where the store is theirs too."""
    scorer, journal = _opened(ws, config)
    yield scorer
    if ws.store.bucket is not None:
        journal.close()


@contextmanager
def comet_workers(ws: Workspace) -> Iterator[None]:
    """Workers that are started in this block, in this process, end with it and give their memory back."""
    try:
        yield
    finally:
        _end(_OPEN.get(ws, {}))


def _opened(ws: Workspace, config: CometConfig) -> tuple[CometScorer, FileJournal]:
    with _OPENING:
        if ws not in _OPEN:
            _OPEN[ws] = {}
            weakref.finalize(ws, _end, _OPEN[ws])  # a process of a cluster ends without a flow's end
        opened = _OPEN[ws]
        if config not in opened:
            journal = FileJournal(ws.store.root / RECORDS, ws.store.bucket, RECORDS)
            opened[config] = CometScorer(config, journal), journal
        return opened[config]


def _end(opened: dict[CometConfig, tuple[CometScorer, FileJournal]]) -> None:
    for scorer, journal in opened.values():
        scorer.close()
        journal.close()
