"""What a person reads when a command ends: the table, where the results are, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evaluate.png import why_no_png

OUT = Console(highlight=False)


def print_outcome(summary: dict[str, Any], source: str) -> None:
    """The tables of what was measured, then where everything is and the next command."""
    dataset = summary["dataset"]
    if dataset:
        OUT.print(
            f"\n{dataset['rows']} rows from {dataset['input']} utterances "
            f"({dataset['not_selected']} not selected, {dataset['rejected_at_read']} rejected at reading, "
            f"{dataset['rejected_later']} rejected later)"
        )
    if summary["curves"]:
        OUT.print(_curve_table(summary["curves"]))
        OUT.print(_equal_latency_table(summary["equal_latency"]))
    if summary.get("timed"):
        OUT.print(_timed_table(summary["timed"]))
    if summary.get("neural"):
        OUT.print("COMET scores of every point: in the report and in scores/neural.csv")
    if summary.get("failed"):
        OUT.print(
            f"{len(summary['failed'])} translations failed and count as empty: `failed` in summary.json"
        )
    run_dir = Path(summary["run_dir"])
    OUT.print(f"\nresults: {run_dir}/summary.json, dataset: {run_dir}/dataset", soft_wrap=True)
    if summary["report"]:
        missing = why_no_png()
        pictures = f"SVG; {missing}" if missing else "SVG and PNG"
        OUT.print(
            f"numbers: {run_dir}/scores (CSV), pictures there: {pictures}", soft_wrap=True, markup=False
        )
    OUT.print(_next(summary, run_dir, source), soft_wrap=True)


def _next(summary: dict[str, Any], run_dir: Path, source: str) -> str:
    if summary["report"]:
        command = (
            f"simulsa stream AUDIO --adapter {run_dir}/adapters/simulsa --chunk-ms 640 --config {source}"
        )
        clip = summary.get("example_audio")
        return f"report:  {summary['report']}\nnext:    {command.replace('AUDIO', clip or 'AUDIO.wav')}"
    if (run_dir / "adapters").is_dir():
        return f"next:    simulsa evaluate {source}"
    return f"next:    simulsa finetune {source}   (or: simulsa publish {run_dir}/dataset --to DIRECTORY)"


def _curve_table(curves: dict[str, Any]) -> Table:
    table = Table(
        title="Same chunk size (secondary: a system that guesses early is faster at the same chunk)"
    )
    table.add_column("chunk ms", justify="right")
    for system in curves:
        table.add_column(f"{system}\nBLEU", justify="right")
        table.add_column("LAAL\nms", justify="right")
    chunks = {point["chunk_ms"] for points in curves.values() for point in points}
    for chunk in sorted(chunks, key=lambda value: value or 10**9):
        row = ["whole" if chunk is None else str(chunk)]
        for points in curves.values():
            point = next((p for p in points if p["chunk_ms"] == chunk), None)
            row += [f"{point['bleu']:.1f}", _ms(point["laal_ms"])] if point else ["", ""]
        table.add_row(*row)
    return table


def _equal_latency_table(points: list[dict[str, Any]]) -> Table:
    table = Table(title="Equal latency: BLEU at the same LAAL, differences with 95 % intervals")
    columns = ("LAAL ms", "base", "control", "simulsa", "simulsa - base", "simulsa - control")
    for column in columns:
        table.add_column(column, justify="right")
    for point in points:
        bleu = [f"{point['bleu'][system]:.1f}" for system in ("base", "control", "simulsa")]
        differences = [_interval(point[f"simulsa_minus_{rival}"]) for rival in ("base", "control")]
        table.add_row(f"{point['laal_ms']:.0f}", *bleu, *differences)
    return table


def _timed_table(timed: dict[str, Any]) -> Table:
    """Latency with computing, one stream alone, beside the ideal one."""
    machine = ", ".join(f"{name} {value}" for name, value in timed["hardware"].items())
    table = Table(title=f"One stream alone: {machine} ({timed['warm_up']} utterances of warm-up)")
    for column in ("system", "chunk ms", "LAAL ms", "LAAL_CA ms", "p50_CA", "p90_CA", "p99_CA", "RTF"):
        table.add_column(column, justify="right")
    for system, points in timed["curves"].items():
        for point in points:
            lags = [_ms(point[f"lag_p{share}_CA"]) for share in (50, 90, 99)]
            rtf = "" if point["RTF"] is None else f"{point['RTF']:.2f}"
            table.add_row(
                system, str(point["chunk_ms"]), _ms(point["LAAL"]), _ms(point["LAAL_CA"]), *lags, rtf
            )
    return table


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _interval(difference: dict[str, float]) -> str:
    return f"{difference['diff']:+.1f} [{difference['low']:+.1f}, {difference['high']:+.1f}]"


def print_published(result: dict[str, Any]) -> None:
    """One line per fact of a publication, and how to load it."""
    for name, value in result.items():
        shown = ", ".join(value) if isinstance(value, (list, tuple)) else value
        if shown not in (None, ""):
            OUT.print(f"{name}: {shown}", soft_wrap=True, markup=False)
    if result["status"] == "dry_run":
        OUT.print("next: the same command without --dry-run")
    else:
        OUT.print(f"next: {_load(result)}", soft_wrap=True, markup=False)


def _load(result: dict[str, Any]) -> str:
    """The line of Python that reads what was published, wherever it went."""
    if "repo" not in result:
        return f'datasets.load_dataset("{result["target"]}")'
    revision = result["tag"] or result["commit"]
    if result["kind"] == "dataset":
        return f'datasets.load_dataset("{result["repo"]}", revision="{revision}")'
    return f'peft.PeftModel.from_pretrained(base, "{result["repo"]}", revision="{revision}")'
