"""Set-up: init, doctor, config show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.commands.common import SETUP, ConfigName, Json, Set, answer, app, config_app


@app.command(group=SETUP)
def init(
    path: Annotated[Path, Parameter(help="The YAML file to write; an existing one is kept.")] = Path(
        "simulsa.yaml"
    ),
    /,
    *,
    json_: Json = False,
) -> None:
    """Write a commented configuration for Qwen2-Audio-7B and your corpus."""
    from flows.init_config import write_template

    write_template(path)
    answer({"config": str(path)}, json_, lambda _: print(f"wrote {path}; next: simulsa run {path} --dry-run"))


@app.command(group=SETUP)
def doctor(
    *,
    deployments: Annotated[
        bool, Parameter(help="Check prefect.yaml instead, without a server.", negative=())
    ] = False,
    prefect_file: Annotated[
        Path | None, Parameter(help="With --deployments: another file than deployments/prefect.yaml.")
    ] = None,
    json_: Json = False,
) -> None:
    """Check this machine: Python, libraries, device, disk, Prefect, the Hub token (never shown).

    --deployments checks every entrypoint, parameter, schedule, work pool and key of deployments/prefect.yaml, which
    Prefect itself would accept unseen; `sh deployments/setup.sh` then deploys it.
    """
    from flows.doctor import diagnose, diagnose_deployments, print_diagnosis

    result = diagnose_deployments(prefect_file) if deployments or prefect_file else diagnose()
    answer(result, json_, print_diagnosis)
    if not result["healthy"]:
        sys.exit(1)


@config_app.command(name="show")
def config_show(config: ConfigName = "demo", /, *, set_: Set = None, json_: Json = False) -> None:
    """Print a configuration with every default spelled out."""
    from flows.config import dump_config, load_config

    loaded = load_config(config, set_ or ())
    answer(loaded.model_dump(mode="json"), json_, lambda _: print(dump_config(loaded), end=""))
