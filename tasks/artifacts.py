"""Prefect artifacts: the progress of long stages, the quality of a dataset, the scores, and where a dataset went.

They are left from a thread of their own: a slow or absent server costs a run nothing, and what could not be left is
logged. Outside of a Prefect run none are made.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext

from augment.manifest import load_manifest
from augment.quality import summarise_quality
from tasks.reporting import SilentReporter, StageTiming
from tasks.store import Manifest

PROGRESS_EVERY_S = 5.0
PATIENCE_S = 10.0
LOG = logging.getLogger("simulsa")


class Artifacts:
    """Leaves artifacts of the run it is called from, one after the other, without keeping the caller waiting."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="artifacts")
        self._under_way: set[Future[Any]] = set()

    def __enter__(self) -> Artifacts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wait(self._under_way, timeout=PATIENCE_S)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def leave(self, what: str, make: Callable[[], Any]) -> Future[Any] | None:
        """Have `make` called with the context of this thread's Prefect run; None where there is no run."""
        if FlowRunContext.get() is None and TaskRunContext.get() is None:
            return None
        future = self._pool.submit(copy_context().run, make)
        self._under_way.add(future)
        future.add_done_callback(lambda done: self._ended(what, done))
        return future

    def _ended(self, what: str, done: Future[Any]) -> None:
        self._under_way.discard(done)
        error = None if done.cancelled() else done.exception()
        if error is not None:
            LOG.warning("the artifact %s could not be left with Prefect: %r", what, error)

    def link(self, name: str, url: str, text: str) -> None:
        """A link, e.g. to what was published."""
        self.leave(name, lambda: create_link_artifact(link=url, link_text=text, key=artifact_key(name)))

    def markdown(self, name: str, text: Callable[[], str]) -> None:
        """A page of Markdown, written by `text` when its turn comes."""
        self.leave(name, lambda: create_markdown_artifact(markdown=text(), key=artifact_key(name)))


def artifact_key(name: str) -> str:
    """The name as Prefect takes keys: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"simulsa {name}".lower()).strip("-")


@dataclass(slots=True)
class _Stage:
    """How far the parts of one stage are, and its artifact once it has one."""

    told_s: float
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)
    id: UUID | None = None
    pending: Future[Any] | None = None

    def percent(self) -> float:
        done, total = (sum(column) for column in zip(*self.parts.values(), strict=True))
        return 100.0 * done / total if total else 0.0


class ArtifactReporter(SilentReporter):
    """One progress artifact for each stage that takes long, and pages about the dataset and the scores."""

    def __init__(self, artifacts: Artifacts, run: str, every_s: float = PROGRESS_EVERY_S) -> None:
        self._artifacts = artifacts
        self._run = run
        self._every_s = every_s
        self._stages: dict[str, _Stage] = {}
        self._lock = threading.Lock()

    def started(self, stage: str, part: str) -> None:
        with self._lock:
            self._stages.setdefault(stage, _Stage(told_s=time.monotonic())).parts[part] = (0, 0)

    def advanced(self, stage: str, part: str, done: int, total: int) -> None:
        with self._lock:
            state = self._stages[stage]
            state.parts[part] = (done, total)
            if time.monotonic() - state.told_s >= self._every_s:
                self._tell(stage, state)

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None:  # noqa: ARG002
        with self._lock:
            state = self._stages[stage]
            state.parts[part] = (state.parts[part][1] or 1,) * 2
            if state.pending is not None:
                self._tell(stage, state)
        if stage in PAGES and not made.cached:
            self._artifacts.markdown(f"{self._run} {stage}", lambda: PAGES[stage](made))

    def _tell(self, stage: str, state: _Stage) -> None:
        """Send the progress, unless what was sent last is still on its way."""
        if state.pending is not None and not state.pending.done():
            return
        state.told_s, percent = time.monotonic(), state.percent()

        def send() -> None:
            if state.id is not None:
                update_progress_artifact(state.id, percent)
                return
            key = artifact_key(f"{self._run} {stage} progress")
            made = create_progress_artifact(percent, key=key, description=f"{stage} of {self._run}")
            state.id = cast(UUID, made)  # no coroutine: this thread has no event loop

        state.pending = self._artifacts.leave(f"progress of {stage}", send)


def dataset_page(made: Manifest) -> str:
    """What the rows are worth: the balance, the rejections by reason, and the quality summary of the card."""
    manifest = load_manifest(made.directory)
    counts = [f"| {name} | {made.info[name]} |" for name in ("input", "not_selected", "selected", "rows")]
    reasons = [f"| rejected: {reason} | {number} |" for reason, number in manifest.rejected.items()]
    quality = summarise_quality(made.directory, [shard.path for shard in manifest.shards])
    table = ["| | utterances |", "|---|---:|", *counts, *reasons]
    return "\n".join([f"# Dataset {manifest.name}", "", *table, "", quality.to_markdown()])


def scores_page(made: Manifest) -> str:
    """Quality against latency of every system at every chunk size."""
    curves = json.loads(made.path("scores.json").read_text())["curves"]
    lines = [
        "# Quality against latency",
        "",
        "| system | chunk ms | BLEU | LAAL ms |",
        "|---|---:|---:|---:|",
    ]
    for system, points in curves.items():
        lines += [
            f"| {system} | {_number(p['chunk_ms'])} | {p['bleu']:.1f} | {_number(p['laal_ms'])} |"
            for p in points
        ]
    return "\n".join(lines)


def costs_page(run: str, timings: list[StageTiming]) -> str:
    """Time, throughput and cost of every stage of a run."""
    head = "| stage | s | parts | cached | done | per s | requests | per s | GPU h | cost |"
    lines = [f"# Stages of {run}", "", head, "|---|" + "---:|" * 9]
    for t in timings:
        values = (
            t.shards, t.cached, t.count, t.per_s, t.issued, t.requests_per_s, t.gpu_hours, t.cost,
        )  # fmt: skip
        shown = ["" if value is None else f"{value:g}" for value in values]
        lines.append(f"| {t.name} | {t.seconds:.1f} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


PAGES: Mapping[str, Callable[[Manifest], str]] = {"dataset": dataset_page, "score": scores_page}
