"""What to do with disks that fill up: gc."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from cyclopts import Parameter

from flows.commands.common import SETUP, ConfigName, Json, Set, answer, app


@app.command(group=SETUP)
def gc(
    config: ConfigName = "demo",
    /,
    *,
    older_than: Annotated[
        str, Parameter(help="Leave what was used since, e.g. 36h, 30d, 2w; never less than a day.")
    ] = "1d",
    forget: Annotated[
        list[str] | None,
        Parameter(help="A run that no longer counts; needed where the store is a bucket.", negative=()),
    ] = None,
    yes: Annotated[bool, Parameter(help="Delete; without this it is only shown.", negative=())] = False,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Show what can go from the stage store, and with --yes delete it.

    Kept: every output that a run in outputs/ stands on and all that it was made of, what was used within a day, what a
    living process writes, and all request records. Delete a run's directory to let go of it:
    `rm -r outputs/old && simulsa gc --older-than 30d --yes`.
    """
    from flows.config import load_config
    from flows.gc import collect_garbage

    outputs = load_config(config, set_ or ()).outputs
    answer(collect_garbage(outputs, older_than=older_than, forget=forget or (), delete=yes), json_, _show)


def _show(result: dict[str, Any]) -> None:
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for thing in result["things"]:
        label = " ".join(filter(None, (thing["stage"], thing["kind"])))
        sizes[label] += thing["num_bytes"]
        counts[label] += 1
    print(f"{result['store']}: {len(result['runs'])} runs count: {', '.join(result['runs']) or 'none'}")
    for label, num_bytes in sizes.most_common():
        print(f"{num_bytes / 1e6:>12,.1f} MB  {counts[label]:>5}  {label}")
    verb = "deleted" if result["deleted"] else "can go"
    print(f"{result['bytes'] / 1e6:>12,.1f} MB  {len(result['things']):>5}  {verb}")
    if result["things"] and not result["deleted"]:
        print("next: the same command with --yes; nothing was deleted")
