"""Where the parts of stages run: threads of this process, or the worker processes of a Ray or a Dask cluster.

The store decides what is made, so a part gives the same output wherever it runs. Workers must see the corpus and the
model under the same paths, and the store: a bucket, or a file system that all of them mount.

This module does not know what a stage does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, cast

from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner

from lalm.engine_config import EngineConfig
from lalm.errors import SimulsaError
from tasks.stage import threads

RunnerKind = Literal["threads", "ray", "dask"]


class RunnerError(SimulsaError):
    """A cluster that is not there, or that cannot do what it is asked for."""


def make_task_runner(
    kind: RunnerKind, engine: EngineConfig, *, workers: int, address: str | None = None, gpus: float = 0
) -> TaskRunner[PrefectFuture[Any]]:
    """The Prefect task runner of a run.

    `address` is that of a running cluster, e.g. ray://head:10001 or tcp://scheduler:8786; None starts one on this
    machine with `workers` processes. `gpus` are asked of Ray for each part that runs the model. Raises RunnerError
    before any work.
    """
    if kind == "threads":
        return threads()
    _check(kind, engine, gpus)
    module = import_module(f"tasks.runner_{kind}")
    runner = module.make(address=address, workers=workers, gpus=gpus)
    return cast("TaskRunner[PrefectFuture[Any]]", runner)


@contextmanager
def submitting_to(runner: TaskRunner[PrefectFuture[Any]] | None) -> Iterator[None]:
    """Within this block the flow that runs hands its tasks to `runner`, which is started already; None: to its own.

    Flows called inside a flow share one cluster this way: its own runner is chosen before its parameters are known.
    """
    context = FlowRunContext.get()
    if context is None or runner is None:
        yield
        return
    with context.model_copy(update={"task_runner": runner}):
        yield


def _check(kind: RunnerKind, engine: EngineConfig, gpus: float) -> None:
    if find_spec(f"prefect_{kind}") is None:
        raise RunnerError(f"task_runner {kind!r} needs the extra `{kind}`: pip install 'simulsa[{kind}]'")
    if engine.kind == "vllm-server" and not engine.urls:
        raise RunnerError(
            f"task_runner {kind!r} with engine.kind 'vllm-server' and no engine.urls: every worker process would start "
            "servers of its own. Start them with `simulsa serve` and name them in engine.urls"
        )
    if gpus and kind == "dask":
        raise RunnerError(
            f"gpus_per_task is {gpus}, which only Ray hands out: set task_runner to ray, or gpus_per_task to 0"
        )
