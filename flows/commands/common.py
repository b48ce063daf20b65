"""The application, its groups, the options that every command shares, and how a command answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

app = App(
    name="simulsa",
    help="Turn an offline speech-translation corpus and an audio LLM into a simultaneous translator (SimulSA).\n\n"
    "Start with `simulsa run demo`; then `simulsa init my.yaml` and `simulsa run my.yaml --dry-run`.",
    version_flags=["--version"],
)
config_app = App(name="config", help="Look at configurations.")
app.command(config_app)

PIPELINE = Group("Pipeline", sort_key=1)
RESULTS = Group("Results", sort_key=2)
SETUP = Group("Set-up", sort_key=3)

ConfigName = Annotated[
    str, Parameter(help="A profile (demo, policies, tiny) or a YAML file from `simulsa init`.")
]
Set = Annotated[
    list[str] | None,
    Parameter(name="--set", help="Override one key, e.g. --set finetune.steps=100. Repeatable.", negative=()),
]
DryRun = Annotated[
    bool, Parameter(help="Show what would be done and what it would cost; do nothing.", negative=())
]
Json = Annotated[bool, Parameter(name="--json", help="Print one JSON object on stdout.", negative=())]


def answer(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """Print `result` as one JSON object, or let `show` print it for a person."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
    else:
        show(result)
