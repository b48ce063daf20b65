"""Score and check the logs of any streaming system: SimulEval's, simulstream's, simulsa's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from flows.commands.common import RESULTS, Json, answer, app

if TYPE_CHECKING:
    from evaluate.neural import Translation

OUT = Console(highlight=False, markup=False)
LogPath = Annotated[
    Path, Parameter(help="SimulEval's instances.log, simulstream's JSONL, or simulsa's traces.jsonl.")
]
UnitOption = Annotated[
    Literal["word", "char"] | None,
    Parameter(help="What latency counts; else from --lang, else from the log."),
]
_NO_UNIT = {"AP", "NumChunks", "RTF", "normalized_erasure", "LongAP", "real_time_factor"}


@app.command(group=RESULTS)
def score(
    log: LogPath,
    /,
    *,
    references: Annotated[
        Path | None, Parameter(help="A reference per line; replaces those in the log.")
    ] = None,
    segments: Annotated[
        Path | None,
        Parameter(
            help="A YAML list of wav, offset, duration: the log is of long recordings, cut by alignment."
        ),
    ] = None,
    unit: UnitOption = None,
    lang: Annotated[
        str | None, Parameter(help="The target language: chooses the unit and BLEU's tokenizer.")
    ] = None,
    compat: Annotated[
        Literal["simuleval", "omnisteval", "simulstream"] | None,
        Parameter(help="Compute what another toolkit prints, its mistakes included (docs/metrics.md)."),
    ] = None,
    comet: Annotated[
        list[str] | None,
        Parameter(
            help="A COMET model: a Hub id such as Unbabel/wmt22-comet-da, or a directory. Repeatable; needs --sources "
            "and `make comet`.",
            negative=(),
        ),
    ] = None,
    sources: Annotated[
        Path | None, Parameter(help="The source text of each utterance or segment, a line each; for --comet.")
    ] = None,
    json_: Json = False,
) -> None:
    """Score any system's log: latency on two clocks, quality with signatures, and what is missing.

    An impossible log gets no score; `simulsa lint` says what is wrong with it. Short utterances:
    `simulsa score instances.log --lang de`. Long recordings:
    `simulsa score metrics.jsonl --segments tst.yaml --references tst.de --lang de`.
    With COMET: `simulsa score instances.log --lang de --comet Unbabel/XCOMET-XL --sources tst.en`.
    """
    result = score_file(
        log,
        references=references,
        segments=segments,
        unit=unit,
        lang=lang,
        compat=compat,
        comet=comet or (),
        sources=sources,
    )
    answer(result, json_, _show_scores)


@app.command(group=RESULTS)
def lint(log: LogPath, /, *, unit: UnitOption = None, json_: Json = False) -> None:
    """Find what no system can have done: times that run backwards, words before their audio, a run added to another.

    Every finding names line, field, rule and value. The exit code is 1 when there are findings.
    """
    from evaluate.logs import RULES, read_log

    read = read_log(log, unit or "word")
    findings = [found.to_json() | {"demands": RULES[found.rule]} for found in read.findings]
    result = {
        "log": str(log), "format": read.format, "utterances": len(read.entries), "findings": findings
    }  # fmt: skip
    answer(result, json_, _show_findings)
    if findings:
        sys.exit(1)


def score_file(
    path: Path,
    *,
    references: Path | None,
    segments: Path | None,
    unit: Literal["word", "char"] | None,
    lang: str | None,
    compat: Literal["simuleval", "omnisteval", "simulstream"] | None,
    comet: Sequence[str] = (),
    sources: Path | None = None,
) -> dict[str, Any]:
    """The scores of a log file as plain JSON values."""
    from evaluate.logs import HARMLESS, LogError, counted_unit, read_log, refuse, score_log
    from evaluate.neural import translations_in_log
    from evaluate.resegment import read_references, read_segments
    from evaluate.units import choose_unit

    if segments is not None and references is None:
        raise LogError(f"{segments} has no text: give --references with one line per segment")
    if comet and sources is None:
        raise LogError("COMET models read the source text: give --sources with one line per utterance")
    chosen = unit or (choose_unit("auto", lang) if lang else None)
    log = read_log(path, chosen or "word")
    refuse(path, log.findings, {*HARMLESS, "compute_decreases"} if compat else HARMLESS)
    texts = None if references is None else read_references(references)
    stretches = None if segments is None else read_segments(segments, texts or ())
    scores = score_log(
        log,
        references=texts,
        segments=stretches,
        unit=chosen or counted_unit(log),
        lang=lang,
        compat=compat,
    )
    in_log = "log" if any(entry.reference is not None for entry in log.entries) else None
    head = {
        "log": str(path), "format": log.format, "lang": lang,
        "references": in_log if references is None else str(references),
        "segments": None if segments is None else str(segments),
    }  # fmt: skip
    warnings = [str(found) for found in log.findings]
    result = head | scores.to_json() | {"comet": [], "warnings": warnings}
    if comet and sources is not None:
        lines = read_references(sources)
        said = translations_in_log(log, scores, sources=lines, references=texts, segments=stretches)
        result["comet"] = [_ask_comet(model, said) for model in comet]
    return result


def _ask_comet(model: str, translations: Sequence[Translation]) -> dict[str, Any]:
    """One model's report; how far it is stands on stderr."""
    from evaluate.neural import report_neural
    from lalm.comet import CometConfig, CometScorer

    with CometScorer(CometConfig(model=model)) as scorer, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(scorer.checkpoint.name, total=len(translations))
        report = report_neural(
            translations, scorer, lambda done, total: progress.update(task, completed=done, total=total)
        )
    return report.to_json()


def _show_scores(result: dict[str, Any]) -> None:
    corpus = result["corpus"]
    title = f"{corpus['n']} {'segments' if result['segments'] else 'utterances'}, unit: {result['unit']}"
    table = Table(title=f"{title}, as {result['compat']}" if result["compat"] else title)
    for column in ("metric", "audio heard", "with computing"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, value in corpus.items():
        if name not in ("unit", "n", "n_empty", "n_failed") and not name.endswith("_CA"):
            aware = corpus.get(f"{name}_CA", "")
            table.add_row(_with_unit(name), _number(name, value), _number(name, aware))
    OUT.print(table)
    for name, value in result["penalised"].items():
        if name != "unit" and corpus["n_empty"]:
            OUT.print(f"{name} with |X| for each omitted output: {_number(name, value)} ms")
    _show_quality(result)
    _show_comet(result["comet"])
    _show_gaps(result)


def _show_quality(result: dict[str, Any]) -> None:
    quality = result["quality"]
    if quality is None:
        OUT.print(
            "no quality: it needs --references, or a log that has them, and --lang where units are characters"
        )
        return
    for name in ("BLEU", "chrF", "TER"):
        if name in quality:
            OUT.print(f"{name} {quality[name]:.2f}  {quality[f'{name}_signature']}", soft_wrap=True)


def _show_comet(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        mean = "none" if report["mean"] is None else f"{report['mean']:.4f}"
        unknown = len(report["without_source"])
        left = f", {unknown} without a source text are left out" if unknown else ""
        OUT.print(f"COMET {mean}  {report['model']}, mean of {report['n']}{left}", soft_wrap=True)


def _show_gaps(result: dict[str, Any]) -> None:
    """What is missing, and the next command."""
    for name in ("empty", "missing"):
        if result[name]:
            OUT.print(
                f"{name}: {len(result[name])} ({', '.join(result[name][:5])}{', …' * (len(result[name]) > 5)})"
            )
    for id_, reason in result["failed"].items():
        OUT.print(f"failed: {id_}: {reason}")
    for warning in result["warnings"]:
        OUT.print(f"warning: {warning}", soft_wrap=True)
    OUT.print(
        f"next: simulsa score {result['log']} --json   (every utterance; docs/metrics.md defines the metrics)",
        soft_wrap=True,
    )


def _show_findings(result: dict[str, Any]) -> None:
    findings = result["findings"]
    for found in findings:
        place = f"{result['log']}:{found['line']}"
        OUT.print(
            f"{place}: {found['field'] or '-'}: {found['rule']}: {found['value']}",
            soft_wrap=True,
        )
    OUT.print(f"{result['utterances']} readable utterances ({result['format']}), {len(findings)} findings")
    for rule in dict.fromkeys(found["rule"] for found in findings):
        demand = next(found["demands"] for found in findings if found["rule"] == rule)
        OUT.print(f"  {rule}: {demand}", soft_wrap=True)
    if not findings:
        OUT.print(f"next: simulsa score {result['log']}")


def _with_unit(name: str) -> str:
    bare = name.removesuffix(" (CU)").removesuffix(" (CA)").removesuffix(" (CAfix)").removesuffix("_CAfix")
    return name if bare in _NO_UNIT or name.endswith("_s") else f"{name} ms"


def _number(name: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.1f}" if _with_unit(name).endswith(" ms") else f"{value:.3f}"
