"""The stages: run, build, finetune, evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.commands.common import PIPELINE, ConfigName, DryRun, Json, Set, answer, app
from lalm.errors import SimulsaError


@app.command(group=PIPELINE)
def run(
    config: ConfigName = "demo", /, *, set_: Set = None, dry_run: DryRun = False, json_: Json = False
) -> None:
    """Run the whole pipeline: build the dataset, fine-tune, evaluate, report.

    Stop it at any time; the same command continues from the finished shards, checkpoints and requests.
    """
    _pipeline("run_simulsa", config, set_, dry_run, json_)


@app.command(group=PIPELINE)
def build(
    config: ConfigName = "demo", /, *, set_: Set = None, dry_run: DryRun = False, json_: Json = False
) -> None:
    """Build the dataset of simultaneous examples: truncate, generate, assemble."""
    _pipeline("build_dataset", config, set_, dry_run, json_)


@app.command(group=PIPELINE)
def finetune(
    config: ConfigName = "demo", /, *, set_: Set = None, dry_run: DryRun = False, json_: Json = False
) -> None:
    """Train the control and the SimulSA adapter with LoRA; builds the dataset first if needed."""
    _pipeline("finetune_lalm", config, set_, dry_run, json_)


@app.command(group=PIPELINE)
def evaluate(
    config: ConfigName = "demo", /, *, set_: Set = None, dry_run: DryRun = False, json_: Json = False
) -> None:
    """Measure quality against latency in a streaming simulation; makes dataset and adapters first if needed."""
    _pipeline("evaluate_streaming", config, set_, dry_run, json_)


def _pipeline(name: str, source: str, overrides: list[str] | None, dry_run: bool, as_json: bool) -> None:
    from flows.config import load_config

    config = load_config(source, overrides or ())
    if dry_run:
        from flows.plan import plan_run, print_plan

        answer(plan_run(config), as_json, print_plan)
        return
    from importlib import import_module

    from flows.outcome import print_outcome
    from flows.session import session_for

    with session_for(config):  # model and corpus are checked before the flow engine starts
        flow: Callable[..., Any] = getattr(import_module(f"flows.{name}"), name)
        summary = _run_flow(flow, config)
    answer(summary, as_json, lambda result: print_outcome(result, source))


def _run_flow(flow: Callable[..., Any], config: object) -> dict[str, Any]:
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
