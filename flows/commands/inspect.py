"""`simulsa inspect`: look at a corpus before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from flows.commands.common import SETUP, Json, answer, app

OUT = Console(highlight=False, markup=False)


@app.command(group=SETUP)
def inspect(
    source: Annotated[
        str, Parameter(help="A corpus's folder, or a configuration: a YAML file or a profile.")
    ],
    /,
    *,
    layout: Annotated[
        Literal["covost2", "iwslt", "europarl_st", "fleurs", "fairseq", "parquet", "jsonl"] | None,
        Parameter(help="The folder's layout (docs/corpora.md), where the guess is wrong or unclear."),
    ] = None,
    src: Annotated[str | None, Parameter(help="The folder's source language, e.g. en.")] = None,
    tgt: Annotated[str | None, Parameter(help="The folder's target language, e.g. de.")] = None,
    sample: Annotated[
        int, Parameter(help="Audio headers to read per split; 0 reads no audio file at all.")
    ] = 1000,
    html: Annotated[
        Path | None, Parameter(help="Also write a page with pictures; it loads nothing from anywhere.")
    ] = None,
    json_: Json = False,
) -> None:
    """Show what a corpus holds and what is wrong with it: hours, lengths, languages, licences, bad lines by reason.

    Every line's metadata is checked as a run would check it; of the audio only sampled headers are read. A folder
    without a configuration gets its layout guessed: `simulsa inspect data/MUSTC --tgt de --html report.html`.
    """
    from flows.console import ConsoleReporter
    from flows.inspect_corpus import check_page, inspect_corpus, render_inspection

    if html is not None:
        check_page(html)
    with ConsoleReporter() as reporter:

        @contextmanager
        def watch(split: str) -> Iterator[Any]:
            reporter.started("inspect", split)
            yield partial(reporter.advanced, "inspect", split)
            reporter.ended("inspect", split, "done")

        result = inspect_corpus(source, layout=layout, src=src, tgt=tgt, headers=sample, watch=watch)
    if html is not None:
        render_inspection(result, html)
    answer(result | {"html": None if html is None else str(html)}, json_, partial(_show, source))


def _show(source: str, result: dict[str, Any]) -> None:
    from flows.inspect_corpus import corpus_section

    corpus = result["corpus"]
    OUT.print(f"{corpus['name']}: {corpus['layout']}, {corpus['src_lang']} to {corpus['tgt_lang']}")
    if result["guessed_from"] is not None:
        signs = result["guessed_from"]
        OUT.print(f"layout guessed from {', '.join(signs[:3])}{', …' * (len(signs) > 3)}", soft_wrap=True)
    OUT.print(_overview(result["splits"]))
    for split in result["splits"]:
        _show_problems(split)
    for found in result["shared_audio"]:
        _show_shared(found)
    for split, why in result["absent"].items():
        OUT.print(f"no split {split}: {why}", soft_wrap=True)
    for name, terms in result["licenses"].items():
        allowed = [what for what in ("text", "audio") if terms[what]] or ["nothing"]
        OUT.print(f"licence {name}: what is made from it may be published as {' and '.join(allowed)}")
    if result["html"]:
        OUT.print(f"report: {result['html']}")
    if result["guessed_from"] is None:
        OUT.print(f"next: simulsa run {source} --dry-run")
    else:
        unknown = ", the languages" if "und" in (corpus["src_lang"], corpus["tgt_lang"]) else ""
        OUT.print(
            f"next: `simulsa init my.yaml`, and put this there, with the licence{unknown} of your copy:"
        )
        OUT.print(corpus_section(result), end="", soft_wrap=True)


def _show_shared(found: dict[str, Any]) -> None:
    count = found["same_place"] + found["same_content"]
    if count:
        OUT.print(
            f"{found['split']}: {count:,} utterances have audio that {found['other']} has too (all lines compared by "
            f"place, {found['files_compared']:,} files by content): what is measured there will be too good"
        )
        for pair in found["examples"]:
            OUT.print(f"    {pair}", soft_wrap=True)


def _overview(splits: list[dict[str, Any]]) -> Table:
    table = Table()
    table.add_column("")
    for split in splits:
        table.add_column(split["split"], justify="right")
    rows: dict[str, Callable[[dict[str, Any]], str]] = {
        "lines": lambda s: f"{s['lines']:,}",
        "usable": lambda s: f"{s['utterances']:,}",
        "rejected": lambda s: f"{s['rejected']:,}",
        "audio": _hours,
        "duration s, median (p5 to p95)": lambda s: _spread(s["duration_s"]),
        "characters target/source": lambda s: _spread(s["length_ratio"]),
        "speakers": lambda s: f"{s['speakers']:,}" if s["speakers"] else "unknown",
        "languages": lambda s: ", ".join(s["languages"]) or "–",
        "audio headers read": lambda s: f"{s['headers_read']:,}",
    }
    for name, of in rows.items():
        table.add_row(name, *(of(split) for split in splits))
    return table


def _hours(split: dict[str, Any]) -> str:
    if split["hours"] is None:
        return "unknown"
    about, hours = "about " if split["hours_estimated"] else "", split["hours"]
    return f"{about}{hours:,.1f} h" if hours >= 1 else f"{about}{hours * 60:.1f} min"


def _spread(spread: dict[str, Any] | None) -> str:
    if spread is None:
        return "unknown"
    p = spread["percentiles"]
    return f"{p['p50']:.2f} ({p['p5']:.2f} to {p['p95']:.2f})"


def _show_problems(split: dict[str, Any]) -> None:
    for problem in split["problems"]:
        counted = f"{problem['count']:,} of {problem['of']:,}"
        OUT.print(f"{split['split']}: {problem['kind']}: {problem['reason']}: {counted}", soft_wrap=True)
        for example in problem["examples"]:
            OUT.print(f"    {example}", soft_wrap=True)
