"""One workspace per run: flows called inside a flow share it, so the model is loaded once.

A run holds its run directory, leaves a record of itself, and tells the console, the logs and Prefect how it goes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import TaskRunner

from augment.corpora import Corpus, open_corpus
from augment.directories import put_in_place, staging_beside
from flows.config import RunConfig, dump_config
from flows.console import ConsoleReporter, wants_json_lines
from flows.demo_inputs import DemoInputs, prepare_demo
from flows.history import Remembering, RunRecord
from flows.interrupt import STOPPING
from flows.places import copies_dir, store_location
from flows.run_lock import run_directory
from lalm.errors import SimulsaError
from lalm.loading import ModelConfig, choose_device
from lalm.prompts import Prompt
from tasks.artifacts import ArtifactReporter, Artifacts, costs_page
from tasks.logs import LogReporter, log_json_lines
from tasks.reporting import Hardware, Reporter, Reporters, SilentReporter, StageClock, stages_from
from tasks.run_store import open_run_store
from tasks.runner import make_task_runner, submitting_to
from tasks.store import Manifest, StoreError, fingerprint
from tasks.workspace import Workspace

GPU_HOUR_PRICE = "SIMULSA_GPU_HOUR_PRICE"
NOTHING_NEW = "NothingNew"


@dataclass(slots=True)
class Session:
    """A run in progress: its resolved configuration, its workspace, and what its flows have made so far.

    `record` and `artifacts` are None in a session that only reads.
    """

    config: RunConfig
    workspace: Workspace
    demo: DemoInputs | None
    made: dict[str, Any] = field(default_factory=dict)
    record: RunRecord | None = None
    artifacts: Artifacts | None = None
    runner: TaskRunner[PrefectFuture[Any]] | None = None

    def corpus(self, split: str) -> Corpus:
        """The configured corpus; raises CorpusError when its layout is not what the configuration says."""
        return open_corpus(self.config.corpus, split)

    @property
    def prompt(self) -> Prompt:
        """The prompt of the configured language pair."""
        return self.workspace.prompt(self.config.corpus.src_lang, self.config.corpus.tgt_lang)

    @property
    def has_news(self) -> bool:
        """Whether this run made or published anything that was not there before."""
        published = self.made.get("publication", {"status": "unchanged"})
        made = any(timing.cached < timing.shards for timing in self.workspace.clock.timings())
        return made or published["status"] != "unchanged"


_CURRENT: ContextVar[Session | None] = ContextVar("simulsa_session", default=None)


@contextmanager
def session_for(
    config: RunConfig, *, read_only: bool = False, command: str | None = None, again_from: str | None = None
) -> Iterator[Session]:
    """The session of the enclosing flow, or a new one that ends with this block.

    A new session checks model and corpus before any work: ModelError or CorpusError come from here, and BusyError when
    another run writes to the run directory. A read-only one makes nothing: a stage that is not in the store raises
    StoreError. `command` is the flow that a rerun calls, by default the one that is running; `again_from` is the first
    of the stages to make again though the store has them.
    """
    current = _CURRENT.get()
    if current is not None:
        with submitting_to(current.runner):
            yield current
            _leave_costs(current)
        return
    with ExitStack() as stack:
        console = stack.enter_context(_console())
        resolved, demo = prepare_demo(config, build=not read_only)
        again = stages_from(again_from) if again_from else ()
        session = Session(config=resolved, workspace=_workspace(resolved, read_only, again), demo=demo)
        _check(session)
        if read_only:
            session.workspace.reporter = Reporters(session.workspace.clock, console)
        else:
            _record(session, stack, console, config, command or _flow_name(), again_from)
            session.runner = stack.enter_context(_runner(resolved))
        stack.callback(session.workspace.close)
        stack.enter_context(submitting_to(session.runner))
        token = _CURRENT.set(session)
        stack.callback(_CURRENT.reset, token)
        with _told_to_stop(session.workspace):
            yield session
        _leave_costs(session)
        if session.record is not None and not session.has_news:
            session.record.ending = "nothing_new"


@contextmanager
def _runner(config: RunConfig) -> Iterator[TaskRunner[PrefectFuture[Any]] | None]:
    """The cluster that all flows of a run share; None where each flow has threads of its own."""
    if config.task_runner == "threads":
        yield None
        return
    with make_task_runner(
        config.task_runner, config.engine, workers=config.workers, address=config.cluster_address,
        gpus=config.gpus_per_task,
    ) as runner:  # fmt: skip
        yield runner


@contextmanager
def _told_to_stop(workspace: Workspace) -> Iterator[None]:
    """Let work in other threads end at its next step when the run fails, is interrupted, or its worker cancels it."""
    try:
        yield
    except BaseException as error:
        workspace.stop()
        if isinstance(error, (KeyboardInterrupt, SystemExit, TerminationSignal)):
            STOPPING.set()
        raise


@contextmanager
def _console() -> Iterator[Reporter]:
    """Progress on stderr: drawn for a person, or every log line as JSON for a machine."""
    if wants_json_lines():
        log_json_lines()
        yield SilentReporter()
        return
    with ConsoleReporter() as console:
        yield console


def _workspace(config: RunConfig, read_only: bool, again: Collection[str]) -> Workspace:
    workspace = Workspace(
        store=open_run_store(
            store_location(config.outputs), copies_dir(config.outputs), read_only=read_only, again=again
        ),
        model=config.model,
        engine=config.engine,
        seed=config.seed,
        workers=config.workers,
        stopping=STOPPING,
    )
    workspace.clock = StageClock(_hardware(config.model))
    return workspace


def _hardware(model: ModelConfig) -> Hardware:
    """The GPUs this process sees, unless the model is to run on the CPU; replicas elsewhere are not counted."""
    gpus = torch.cuda.device_count() if choose_device(model.device).type == "cuda" else 0
    price = os.environ.get(GPU_HOUR_PRICE)
    try:
        return Hardware(gpus=gpus, gpu_hour_price=float(price) if price else None)
    except ValueError:
        raise SimulsaError(f"{GPU_HOUR_PRICE} must be a number, e.g. 2.5, got {price!r}") from None


def _check(session: Session) -> None:
    """Fail on a wrong model or corpus before the first stage."""
    session.workspace.info  # noqa: B018 - raises ModelError
    session.corpus(session.config.corpus.train_split)


def _record(
    session: Session,
    stack: ExitStack,
    console: Reporter,
    config: RunConfig,
    command: str,
    again_from: str | None,
) -> None:
    """Take the run directory, leave the resolved configuration there, and begin the record of the run."""
    run_dir, workspace = session.config.run_dir, session.workspace
    digest = content_digest(config)
    stack.enter_context(run_directory(run_dir, digest))
    stack.callback(workspace.store.remember_run, config.name, digest)
    (run_dir / "config.yaml").write_text(dump_config(session.config))
    record = RunRecord(config, command, workspace.clock, again_from)
    session.record = stack.enter_context(record)
    session.artifacts = stack.enter_context(Artifacts())
    workspace.reporter = Reporters(
        workspace.clock,
        record,
        Remembering(workspace.store, config.name, digest),
        console,
        LogReporter(record.id),
        ArtifactReporter(session.artifacts, config.name),
    )


def content_digest(config: RunConfig) -> str:
    """The digest of what decides the files of a run: runs that differ only in publishing them make the same."""
    return fingerprint(config.model_dump(mode="json", exclude={"publish"}))


def _flow_name() -> str:
    """The flow that is running, as its module and function are named."""
    context = FlowRunContext.get()
    flow = context.flow if context else None
    assert flow is not None, "outside of a flow the command must be given"
    return flow.name.replace("-", "_")


def _leave_costs(session: Session) -> None:
    """When the outermost flow of a run ends: what its stages took, as a page in Prefect."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.parent_task_run_id is not None:
        return
    timings = session.workspace.clock.timings()
    if session.artifacts is not None and session.has_news and timings:
        name = session.config.name
        session.artifacts.markdown(f"{name} stages", lambda: costs_page(name, timings))


def finished(session: Session, summary: dict[str, Any]) -> dict[str, Any] | State[dict[str, Any]]:
    """How a flow of this session ends: with its summary, and in the state `NothingNew` when it made nothing."""
    if session.has_news:
        return summary
    message = f"{session.config.name}: nothing changed since an earlier run"
    return Completed(name=NOTHING_NEW, message=message, data=summary)


def export(session: Session, manifest: Manifest, name: str) -> None:
    """Give `name` in the run directory a stage's output, in one step, unless this very output lies there already.

    Raises StoreError rather than replace a directory that no run wrote.
    """
    target = session.config.run_dir / name
    marker = target / ".stage-key"
    label = f"{manifest.key} {manifest.attempt}"
    if session.workspace.store.read_only or (marker.is_file() and marker.read_text() == label):
        return
    if target.exists() and not marker.is_file() and any(target.iterdir()):
        raise StoreError(
            f"{target} holds something that no run wrote, and is kept: move it, or name the run otherwise"
        )
    with staging_beside(target, dry_run=False) as staging:
        shutil.copytree(manifest.directory, staging, dirs_exist_ok=True)
        (staging / ".stage-key").write_text(label)
        put_in_place(staging, target)
