"""What to do with results: materialize."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import Parameter

from flows.commands.common import RESULTS, Json, Set, answer, app
from lalm.errors import SimulsaError

if TYPE_CHECKING:
    from augment.corpora import Corpus, CorpusConfig
    from augment.manifest import DatasetManifest
    from augment.materialize import Progress

SHOWN_FAILURES = 20


@app.command(group=RESULTS)
def materialize(
    dataset: Annotated[Path, Parameter(help="A dataset that was published without its audio.")],
    /,
    *,
    corpus: Annotated[
        str, Parameter(help="Your copy of its corpus: the directory, or a configuration that names it.")
    ],
    to: Annotated[
        Path | None, Parameter(help="Where the dataset with audio goes; by default DATASET-with-audio.")
    ] = None,
    split: Annotated[
        str | None, Parameter(help="The split the rows come from; by default the one that is trained on.")
    ] = None,
    allow_missing: Annotated[
        bool,
        Parameter(negative=(), help="Move rows without audio to rejected.parquet instead of giving up."),
    ] = False,
    set_: Set = None,
    dry_run: Annotated[
        bool, Parameter(help="Rebuild and verify every clip, but write nothing.", negative=())
    ] = False,
    json_: Json = False,
) -> None:
    """Give a dataset that was published without audio its audio back, from your own copy of the corpus.

    Each clip is cut again and its sha256 compared with the row's. When any row fails, its id and reason are listed,
    nothing is written, and the exit code is 1. The result appears whole, and `datasets.load_dataset` reads it:
    `simulsa materialize published/v1 --corpus /data/covost2/en`.
    """
    from augment.manifest import load_manifest
    from augment.materialize import materialize as run

    opened = _open(corpus, load_manifest(dataset), split, set_ or [])
    target = to or dataset.resolve().with_name(f"{dataset.resolve().name}-with-audio")
    with _progress() as progress:
        result = run(dataset, opened, target, allow_missing=allow_missing, dry_run=dry_run, progress=progress)
    plain = asdict(result) | {"target": str(target), "dataset": str(dataset)}
    answer(plain, json_, _show)
    if result.failures and (dry_run or not allow_missing):
        sys.exit(1)


def _open(source: str, manifest: DatasetManifest, split: str | None, overrides: list[str]) -> Corpus:
    """A directory or manifest file is a corpus; anything else is the name of a configuration."""
    from augment.corpora import open_corpus
    from flows.config import load_config

    path = Path(source)
    if path.is_dir() or path.suffix == ".jsonl":
        config = corpus_below(path, manifest, split or "train")
        return open_corpus(config, split or "train")
    config = load_config(source, overrides).corpus
    return open_corpus(config, split or config.train_split)


def corpus_below(root: Path, manifest: DatasetManifest, split: str) -> CorpusConfig:
    """The configuration of the corpus in `root`: its layout by looking, its name and languages from the dataset.

    Raises SimulsaError where one of them is not certain.
    """
    from augment.corpora import CorpusConfig, Layout

    summary = manifest.summary
    for what, values in (
        ("corpora", summary.corpora),
        ("source languages", summary.src_langs),
        ("target languages", summary.tgt_langs),
    ):
        if len(values) != 1:
            raise SimulsaError(
                f"the dataset {manifest.name!r} has several {what} ({', '.join(values)}), and the directory {root} "
                "cannot say which is meant: give a configuration whose corpus section does"
            )
    (name,), (src_lang,), (tgt_lang,) = summary.corpora, summary.src_langs, summary.tgt_langs
    layouts: list[Layout] = list(get_args(Layout))
    candidates = [
        CorpusConfig(name=name, layout=layout, root=str(root), src_lang=src_lang, tgt_lang=tgt_lang)
        for layout in layouts
    ]
    found = [config for config in candidates if _opens(config, split)]
    if len(found) != 1:
        raise SimulsaError(
            f"{root} must hold the split {split!r} in exactly one layout of {', '.join(layouts)}, but holds it in "
            f"{' and '.join(config.layout for config in found) or 'none'}: check directory and --split, or give a "
            "configuration that names the layout"
        )
    return found[0]


def _opens(config: CorpusConfig, split: str) -> bool:
    from augment.corpora import CorpusError, open_corpus

    try:
        open_corpus(config, split)
    except CorpusError:
        return False
    return True


@contextmanager
def _progress() -> Iterator[Progress]:
    """One line on stderr, drawn only where somebody looks."""
    from flows.console import ConsoleReporter

    with ConsoleReporter() as reporter:
        reporter.started("materialize", "")
        yield lambda done, total: reporter.advanced("materialize", "", done, total)
        reporter.ended("materialize", "", "done")


def _show(result: dict[str, Any]) -> None:
    print(f"{result['status']}: audio of {result['rebuilt']} of {result['rows']} rows rebuilt and verified")
    for reason, count in result["failed"].items():
        print(f"  {reason}: {count}")
    for failure in result["failures"][:SHOWN_FAILURES]:
        print(f"  {failure['id']}: {failure['reason']}: {failure['detail']}")
    if len(result["failures"]) > SHOWN_FAILURES:
        print(f"  and {len(result['failures']) - SHOWN_FAILURES} more: --json lists all")
    print(f"next: {_next(result)}")


def _next(result: dict[str, Any]) -> str:
    if result["status"] in ("materialized", "unchanged"):
        return f'datasets.load_dataset("{result["target"]}"), or simulsa export {result["target"]}'
    if result["failures"]:
        return "mend the corpus, or repeat with --allow-missing to leave these rows out; nothing was written"
    return "the same command without --dry-run; nothing was written"
