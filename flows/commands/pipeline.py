"""The stages: run, build, refresh, finetune, evaluate."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from flows.commands.common import PIPELINE, ConfigName, DryRun, Json, Set, answer, app
from lalm.errors import SimulsaError

if TYPE_CHECKING:
    from flows.config import RunConfig

LogJson = Annotated[
    bool,
    Parameter(help="Log JSON lines on stderr instead of progress (as SIMULSA_LOG_JSON=1).", negative=()),
]


@app.command(group=PIPELINE)
def run(
    config: ConfigName = "demo",
    /,
    *,
    set_: Set = None,
    dry_run: DryRun = False,
    log_json: LogJson = False,
    json_: Json = False,
) -> None:
    """Run the whole pipeline: build the dataset, fine-tune, evaluate, report.

    Stop it at any time; the same command continues from the finished shards, checkpoints and requests.
    """
    _pipeline("run_simulsa", config, set_, dry_run, json_, log_json)


@app.command(group=PIPELINE)
def build(
    config: ConfigName = "demo",
    /,
    *,
    set_: Set = None,
    dry_run: DryRun = False,
    log_json: LogJson = False,
    json_: Json = False,
) -> None:
    """Build the dataset of simultaneous examples: truncate, generate, assemble."""
    _pipeline("build_dataset", config, set_, dry_run, json_, log_json)


@app.command(group=PIPELINE)
def refresh(
    config: ConfigName = "demo",
    /,
    *,
    set_: Set = None,
    dry_run: DryRun = False,
    log_json: LogJson = False,
    json_: Json = False,
) -> None:
    """Bring the dataset up to date with a corpus that grew, and publish it when it changed and `publish` is set.

    Made for a schedule: only new utterances are cut and generated, and without any there is no work and no commit.
    """
    _pipeline("refresh_dataset", config, set_, dry_run, json_, log_json)


@app.command(group=PIPELINE)
def finetune(
    config: ConfigName = "demo",
    /,
    *,
    set_: Set = None,
    dry_run: DryRun = False,
    log_json: LogJson = False,
    json_: Json = False,
) -> None:
    """Train the control and the SimulSA adapter with LoRA; builds the dataset first if needed."""
    _pipeline("finetune_lalm", config, set_, dry_run, json_, log_json)


@app.command(group=PIPELINE)
def evaluate(
    config: ConfigName = "demo",
    /,
    *,
    set_: Set = None,
    dry_run: DryRun = False,
    log_json: LogJson = False,
    json_: Json = False,
) -> None:
    """Measure quality against latency in a streaming simulation; makes dataset and adapters first if needed."""
    _pipeline("evaluate_streaming", config, set_, dry_run, json_, log_json)


def _pipeline(
    name: str, source: str, overrides: list[str] | None, dry_run: bool, as_json: bool, log_json: bool
) -> None:
    from flows.config import load_config

    config = load_config(source, overrides or ())
    if dry_run:
        from flows.plan import plan_run, print_plan

        answer(plan_run(config), as_json, print_plan)
        return
    run_flow(name, config, source=source, as_json=as_json, log_json=log_json)


def run_flow(
    name: str, config: RunConfig, *, source: str, as_json: bool, log_json: bool, again_from: str | None = None
) -> None:
    """Run the flow `name` of the module of that name, and answer with its summary."""
    from flows.console import JSON_LINES
    from flows.leftovers import end_leftovers_with_us
    from flows.outcome import print_outcome
    from flows.session import session_for

    if log_json:
        os.environ[JSON_LINES] = "1"
    # All is checked here, before the flow engine starts.
    with session_for(config, command=name, again_from=again_from):
        end_leftovers_with_us()
        flow: Callable[..., Any] = getattr(import_module(f"flows.{name}"), name)
        summary = _call(flow, config)
    answer(summary, as_json, lambda result: print_outcome(result, source))


def _call(flow: Callable[..., Any], config: RunConfig) -> dict[str, Any]:
    """Run a flow; a Prefect server that was named but does not answer is the user's to mend."""
    try:
        summary: dict[str, Any] = flow(config)
    except RuntimeError as error:
        if "Failed to reach API" not in str(error):
            raise
        raise SimulsaError(
            f"{error}: start that Prefect server, or unset PREFECT_API_URL to use a temporary one"
        ) from error
    return summary
