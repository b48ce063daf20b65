"""What the driver of a run hears of parts that run elsewhere: that they were handed out, and how they ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import Task

from tasks.store import Manifest
from tasks.workspace import Workspace

Ended = Callable[[Any], None]


def handed_out(task: Task[Any, Any], parameters: dict[str, Any]) -> Ended:
    """Announce a part to the reporter of its workspace; the answer is to be called with how it ended, once."""
    workspace = next((value for value in parameters.values() if isinstance(value, Workspace)), None)
    if workspace is None:
        return lambda _: None
    stage, part, reporter = task.name, workspace.begin(task.name), workspace.reporter

    def ended(outcome: Any) -> None:
        if isinstance(outcome, Manifest):
            workspace.store.used[outcome.key] = None
            reporter.finished(stage, part, outcome, workspace.requests())
        elif isinstance(outcome, BaseException):
            reporter.failed(stage, part, outcome)

    return ended


class Reporting:
    """Beside a Prefect future: the first look at its result tells the driver how its part ended."""

    ended: Ended | None = None

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        try:
            outcome = super().result(timeout=timeout, raise_on_failure=raise_on_failure)  # type: ignore[misc]
        except TimeoutError:
            raise
        except BaseException as error:
            self._tell(error)
            raise
        self._tell(outcome)
        return outcome

    def _tell(self, outcome: Any) -> None:
        tell, self.ended = self.ended, None
        if tell is not None:
            tell(outcome)
