"""What runs became of, and running one again: runs, status, rerun."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Group, Parameter

from flows.commands.common import Json, answer, app
from flows.commands.pipeline import LogJson, run_flow

RUNS = Group("Runs", sort_key=1)

Outputs = Annotated[str, Parameter(help="Where the runs' results and their stage store are.")]
Run = Annotated[str, Parameter(help="A run's id, the beginning of it, or a run's name: its last run.")]


@app.command(group=RUNS)
def runs(*, outputs: Outputs = "outputs", json_: Json = False) -> None:
    """List the runs below a directory, oldest first: running, completed, nothing_new, failed, stopped or killed."""
    from flows.history import all_records
    from flows.places import results_dir
    from flows.run_status import print_runs, run_status

    found = [run_status(record) for record in all_records(results_dir(outputs))]
    for run in found:
        del run["stages"]
    answer({"outputs": outputs, "runs": found}, json_, print_runs)


@app.command(group=RUNS)
def status(run: Run, /, *, outputs: Outputs = "outputs", json_: Json = False) -> None:
    """Show what of a run is done, running, failed, cached and rejected, stage by stage; also while it runs.

    Set SIMULSA_GPU_HOUR_PRICE for a run, and its stages show what they cost.
    """
    from flows.history import find_record
    from flows.places import results_dir
    from flows.run_status import print_status, run_status

    answer(run_status(find_record(results_dir(outputs), run)), json_, print_status)


@app.command(group=RUNS)
def rerun(
    run: Run,
    /,
    *,
    from_: Annotated[
        str | None,
        Parameter(
            name="--from", help="Make this stage and those after it again: select, truncate, generate, ..."
        ),
    ] = None,
    outputs: Outputs = "outputs",
    log_json: LogJson = False,
    json_: Json = False,
) -> None:
    """Run a run's own configuration again: what is finished is read back, what failed is done.

    With --from STAGE, that stage and those after it are made again though they are stored. Nothing stored is deleted,
    other runs keep what they read, and recorded answers of the model are kept: no request is asked twice.
    """
    from flows.history import find_record, read_events
    from flows.places import results_dir
    from tasks.reporting import stages_from
    from tasks.store import is_url

    if from_:
        stages_from(from_)
    record = find_record(results_dir(outputs), run)
    start = read_events(record)[0]
    from flows.config import parse_config

    recorded = start["configuration"]["outputs"]
    in_bucket = is_url(recorded) and not is_url(outputs)  # its record is local, below `outputs`
    place = recorded if in_bucket else outputs
    config = parse_config({**start["configuration"], "outputs": place}, where=str(record))
    run_flow(
        start["command"], config, source=start["name"], as_json=json_, log_json=log_json, again_from=from_
    )
