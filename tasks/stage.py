"""`stage_task`: a Prefect task around one library call that returns a Manifest.

Prefect's own result cache is not used (docs/decisions/003): the store decides, and a hit is reported as a `Cached`
state so that the UI shows it. Results stay in memory; they are small manifests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.checks import needing, needs_of
from tasks.store import Manifest
from tasks.workspace import Workspace

P = ParamSpec("P")
StageFunction = Callable[Concatenate[Workspace, P], Manifest]


def threads() -> TaskRunner[PrefectFuture[Any]]:
    """Threads of a flow's task runner; how many work at once is the workspace's `workers`."""
    return cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=16))


def stage_task(stage: str) -> Callable[[StageFunction[P]], Task[..., Manifest]]:
    """Make a stage function a Prefect task that is checked, reported, and shown as Cached on a hit.

    The undecorated function stays reachable as `.fn.__wrapped__` for tests without a flow engine.
    """

    def decorate(function: StageFunction[P]) -> Task[..., Manifest]:
        @functools.wraps(function)
        def run(workspace: Workspace, *args: P.args, **kwargs: P.kwargs) -> Manifest | State[Manifest]:
            with workspace.slots:
                part = workspace.begin(stage)
                try:
                    with needing(needs_of(stage, workspace, (*args, *kwargs.values()))):
                        manifest = function(workspace, *args, **kwargs)
                except BaseException as error:
                    workspace.reporter.failed(stage, part, error)
                    raise
            workspace.reporter.finished(stage, part, manifest, workspace.requests())
            if manifest.cached:
                return Completed(name="Cached", message=f"stored as {manifest.key[:12]}", data=manifest)
            return manifest

        made: Any = task(name=stage, persist_result=False, cache_policy=NO_CACHE)(run)
        return cast("Task[..., Manifest]", made)

    return decorate
