"""Parts of stages on a Ray cluster: its resources are checked first, for Ray waits silently for what it lacks."""

from __future__ import annotations

from typing import Any

import ray
from prefect import Task
from prefect.utilities.collections import visit_collection
from prefect_ray.context import remote_options
from prefect_ray.task_runners import PrefectRayFuture, RayTaskRunner

from tasks.reporting import MODEL_STAGES
from tasks.runner import RunnerError
from tasks.runner_reports import Reporting, handed_out


class RayFuture(Reporting, PrefectRayFuture[Any]):  # type: ignore[misc]
    """A future whose part the driver hears of."""


class Runner(RayTaskRunner):  # type: ignore[misc]
    """`RayTaskRunner` that asks for `gpus` where the model runs, and fails where the cluster has none."""

    def __init__(
        self, address: str | None = None, init_kwargs: dict[str, Any] | None = None, gpus: float = 0
    ) -> None:
        super().__init__(address=address, init_kwargs=init_kwargs)
        self._gpus = gpus

    def duplicate(self) -> Runner:
        """The same settings once more: each flow gets a runner of its own."""
        return type(self)(address=self.address, init_kwargs=self.init_kwargs, gpus=self._gpus)

    def __enter__(self) -> Runner:
        try:
            super().__enter__()
        except ConnectionError as error:
            raise RunnerError(f"no Ray cluster answers at {self.address}: {error}") from error
        try:
            self._check_resources()
        except RunnerError:
            self.__exit__(None, None, None)
            raise
        return self

    def _check_resources(self) -> None:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        for name, needed in (("CPU", 1.0), ("GPU", self._gpus)):
            largest = max((resources.get(name, 0.0) for resources in nodes), default=0.0)
            if largest < needed:
                raise RunnerError(
                    f"each part asks for {needed:g} {name} of one node, and the largest of the {len(nodes)} nodes of "
                    f"the Ray cluster has {largest:g}: it would wait for ever. Start Ray with --num-{name.lower()}s "
                    "or lower gpus_per_task"
                )

    def submit(
        self, task: Task[Any, Any], parameters: dict[str, Any], *args: Any, **kwargs: Any
    ) -> RayFuture:
        """Hand out one part; what runs the model gets its GPUs."""
        ended = handed_out(task, parameters)
        options = {"num_gpus": self._gpus} if self._gpus and task.name in MODEL_STAGES else {}
        with remote_options(**options):
            plain = super().submit(task, parameters, *args, **kwargs)
        future = RayFuture(task_run_id=plain.task_run_id, wrapped_future=plain.wrapped_future)
        future.ended = ended
        return future

    @staticmethod
    def _run_prefect_task(*upstream: Any, parameters: dict[str, Any], **task: Any) -> Any:
        """Run one part on a worker, with what it reads fetched and kept first.

        Prefect remembers what it visits by `id()`: a result that it alone fetches may be freed, and the next one, at
        the same address, is then taken for it.
        """
        kept: list[Any] = []

        def fetched(value: Any) -> Any:
            if not isinstance(value, ray.ObjectRef):
                return value
            kept.append(ray.get(value))
            return kept[-1]

        resolved = visit_collection(parameters, visit_fn=fetched, return_data=True)
        return RayTaskRunner._run_prefect_task(*upstream, parameters=resolved, **task)


def make(*, address: str | None, workers: int, gpus: float) -> Runner:
    """A runner on the cluster at `address`, or on one of `workers` processes on this machine."""
    local = {"num_cpus": workers, "include_dashboard": False, "log_to_driver": False}
    return Runner(address=address, init_kwargs=local if address is None else {}, gpus=gpus)
