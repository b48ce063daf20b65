"""What became of a run, as its record tells it: per stage what is done, running, failed, cached and rejected."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.history import is_alive, read_events
from tasks.reporting import Hardware, Work, stage_timing

OUT = Console(highlight=False)
Event = dict[str, Any]
Part = dict[str, Any]

WORST_FIRST = ("failed", "killed", "stopped", "running", "done", "cached")


def run_status(record: Path) -> dict[str, Any]:
    """Everything the record says, as plain JSON values; what runs is timed up to now.

    A run is `running`, `completed`, `nothing_new`, `failed`, `stopped` or `killed`. A part of a stage is `running`,
    `done`, `cached` or `failed`, or what its run became while the part ran; a stage is as the worst of its parts.
    """
    alive = is_alive(record)  # asked first: a run that ends in between has then written its end
    events = read_events(record)
    start, end = events[0], next((e for e in events if e["event"] == "ended"), None)
    state = end["state"] if end else "running" if alive else "killed"
    until = datetime.now(UTC).isoformat(timespec="milliseconds") if state == "running" else events[-1]["at"]
    stages = _parts(events, unfinished=state, until=until)
    hardware = Hardware(**start["hardware"])
    said = ("run", "name", "command", "again_from", "pid", "host", "version", "digest")
    return {
        **{name: start[name] for name in said},
        "state": state,
        "error": end.get("error") if end else None,
        "started": start["at"],
        "ended": None if state == "running" else until,
        "seconds": round(_seconds(until) - _seconds(start["at"]), 3),
        "stages": [_stage(name, list(parts.values()), hardware) for name, parts in stages.items()],
        "publication": next((_facts(e) for e in reversed(events) if e["event"] == "published"), None),
        "record": str(record),
    }


def _parts(events: list[Event], unfinished: str, until: str) -> dict[str, dict[str, Part]]:
    """By stage and part: state, times, progress, and what it made."""
    stages: dict[str, dict[str, Part]] = {}
    for event in events:
        if not event["event"].startswith("part_"):
            continue
        new = {  # not only by its start, which a full disk may have kept out of the record
            "part": event["part"], "state": unfinished, "started": event["at"], "ended": until, "done": 0,
            "total": None, "key": None, "rejected": 0, "issued": 0, "replayed": 0, "error": None,
        }  # fmt: skip
        part = stages.setdefault(event["stage"], {}).setdefault(event["part"], new)
        if event["event"] == "part_advanced":
            part |= {"done": event["done"], "total": event["total"] or None}
        elif event["event"] == "part_finished":
            part |= _facts(event) | {"ended": event["at"]}
        elif event["event"] == "part_failed":
            part |= {"state": "failed", "ended": event["at"], "error": event["error"]}
    return stages


def _facts(event: Event) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in ("event", "at", "stage")}


def _stage(name: str, parts: list[Part], hardware: Hardware) -> dict[str, Any]:
    """One stage: how many of its parts are in each state, then the rates that a run's summary has too."""
    counts = {state: sum(part["state"] == state for part in parts) for state in WORST_FIRST}
    timing = stage_timing(name, [_work(part) for part in parts], hardware).as_json()
    return {
        "name": name,
        "state": next(state for state in WORST_FIRST if counts[state]),
        "started": min(part["started"] for part in parts),
        "ended": max(part["ended"] for part in parts),
        **counts,
        "rejected": sum(part["rejected"] for part in parts),
        **{fact: value for fact, value in timing.items() if fact not in ("name", "cached")},
        "parts": parts,
    }


def _work(part: Part) -> Work:
    return Work(
        start_s=_seconds(part["started"]), end_s=_seconds(part["ended"]), cached=part["state"] == "cached",
        count=part["done"], issued=part["issued"], replayed=part["replayed"],
    )  # fmt: skip


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def print_runs(result: dict[str, Any]) -> None:
    """One line per run, the newest last, and what to do with one."""
    table = Table("run (UTC)", "name", "command", "state", "took", box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for run in result["runs"]:
        table.add_row(run["run"], run["name"], run["command"], run["state"], _duration(run["seconds"]))
    OUT.print(table)
    last = result["runs"][-1]["run"] if result["runs"] else None
    OUT.print(f"next: simulsa status {last}" if last else "next: simulsa run demo")


def print_status(status: dict[str, Any]) -> None:
    """The stages of one run as a table, why it ended, and the next command."""
    OUT.print(f"{status['run']}: {status['command']} of {status['name']}, {status['state']}", markup=False)
    costs = any(stage["gpu_hours"] is not None for stage in status["stages"])
    columns = ("stage", "state", "cached", "done", "per s", "requests", "rejected", "took")
    table = Table(*columns, *(("GPU h", "cost") if costs else ()), box=SIMPLE_HEAD)
    for stage in status["stages"]:
        values = (
            f"{stage['cached']} of {stage['shards']}", _progress(stage), stage["per_s"], stage["issued"],
            stage["rejected"], _duration(stage["seconds"]),
            *((stage["gpu_hours"], stage["cost"]) if costs else ()),
        )  # fmt: skip
        table.add_row(stage["name"], stage["state"], *("" if v is None else str(v) for v in values))
    OUT.print(table)
    if status["error"]:
        OUT.print(status["error"], markup=False, soft_wrap=True)
    if status["publication"]:
        OUT.print(f"{status['publication']['status']}: {status['publication']['url']}", soft_wrap=True)
    OUT.print(f"next: {_next(status)}", soft_wrap=True)


def _next(status: dict[str, Any]) -> str:
    if status["state"] == "running":
        return f"simulsa status {status['run']}   (again, while it runs)"
    if status["state"] in ("completed", "nothing_new"):
        return f"simulsa rerun {status['run']} --from STAGE   (makes STAGE and what follows again)"
    return f"simulsa rerun {status['run']}   (continues from what is finished)"


def _progress(stage: dict[str, Any]) -> str:
    """What was worked through, of how much where the running parts know it."""
    done = sum(part["done"] for part in stage["parts"])
    left = [part["total"] for part in stage["parts"] if part["state"] == "running" and part["total"]]
    return f"{done} / {sum(left)}" if left else str(done)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{int(rest):02}" if hours or minutes else f"{rest:.1f} s"
