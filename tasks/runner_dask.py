"""Parts of stages on a Dask cluster."""

from __future__ import annotations

from typing import Any

from prefect import Task
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from tasks.runner import RunnerError
from tasks.runner_reports import Reporting, handed_out

WORKER_WAIT_S = 60.0


class DaskFuture(Reporting, PrefectDaskFuture[Any]):  # type: ignore[misc]
    """A future whose part the driver hears of."""


class Runner(DaskTaskRunner):  # type: ignore[misc]
    """`DaskTaskRunner` that tells the driver of its parts."""

    def __enter__(self) -> Runner:
        try:
            super().__enter__()
            self.client.wait_for_workers(1, timeout=WORKER_WAIT_S)
        except (OSError, TimeoutError) as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise RunnerError(
                f"the Dask cluster {self.address or 'of this machine'} has no worker after {WORKER_WAIT_S:.0f} s, and "
                f"would wait for ever: check its scheduler and workers ({error})"
            ) from error
        return self

    def submit(
        self, task: Task[Any, Any], parameters: dict[str, Any], *args: Any, **kwargs: Any
    ) -> DaskFuture:
        """Hand out one part."""
        ended = handed_out(task, parameters)
        plain = super().submit(task, parameters, *args, **kwargs)
        future = DaskFuture(task_run_id=plain.task_run_id, wrapped_future=plain.wrapped_future)
        future.ended = ended
        return future


def make(*, address: str | None, workers: int, gpus: float) -> Runner:  # noqa: ARG001 - as for Ray
    """A runner on the scheduler at `address`, or on `workers` processes on this machine."""
    if address is not None:
        return Runner(address=address)
    return Runner(
        cluster_kwargs={
            "n_workers": workers,
            "threads_per_worker": 1,
            "processes": True,
            "dashboard_address": None,
        }
    )
