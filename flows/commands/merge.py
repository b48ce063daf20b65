"""What to do with results: merge."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from flows.commands.common import RESULTS, DryRun, Json, Set, answer, app


@app.command(group=RESULTS)
def merge(
    adapter: Annotated[Path, Parameter(help="An adapter directory, e.g. outputs/demo/adapters/simulsa.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="The model directory to write; only an earlier merge is replaced.")],
    config: Annotated[str, Parameter(help="Where the base model and its precision come from.")] = "demo",
    set_: Set = None,
    dry_run: DryRun = False,
    json_: Json = False,
) -> None:
    """Merge an adapter into its base model and write the whole as one model directory.

    No engine needs it: every one of them takes adapters as they are, and several at once. It is for programs that
    take only whole models. What is written is checked: it must score a canary audio as base and adapter do.
    """
    from flows.config import load_config
    from flows.demo_inputs import resolve_model
    from lalm.merge import merge_adapter

    model = resolve_model(load_config(config, set_ or ())).model
    result = asdict(merge_adapter(model, adapter, to, dry_run=dry_run))
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in result.items()}
    answer(plain, json_, _show)


def _show(result: dict[str, Any]) -> None:
    size = f"{result['num_bytes'] / 1e9:.2f} GB, {result['dtype']}"
    print(f"{result['status']}: {result['base']} + {result['adapter']} ({size}) -> {result['target']}")
    if result["max_difference_nats"] is not None:
        print(f"checked: its scores are within {result['max_difference_nats']:.1g} nats of base and adapter")
    if result["status"] == "dry_run":
        print("next: the same command without --dry-run")
    else:
        print(f"next: any command with --set model.path={result['target']}")
