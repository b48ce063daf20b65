"""`simulsa inspect`: what a corpus holds and what is wrong with it, before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from augment.atomic import write_bytes
from augment.corpora import CorpusConfig, CorpusError, Layout, open_corpus
from augment.corpora.guess import Guess, guess_corpus
from augment.corpora.overlap import Overlap, shared_audio
from augment.corpora.survey import Progress, Survey, survey
from augment.licences import allows_audio, forbids_derivatives
from flows.config import ConfigError, load_config

Watch = Callable[[str], AbstractContextManager[Progress | None]]
_TEMPLATES = Path(__file__).parent / "templates"


def inspect_corpus(
    source: str,
    *,
    layout: Layout | None = None,
    src: str | None = None,
    tgt: str | None = None,
    headers: int = 1000,
    watch: Watch = lambda _: nullcontext(),
) -> dict[str, Any]:
    """Survey every split of a configuration's corpus, or of a folder whose layout is guessed.

    `watch` is entered with each split's name and gives what hears of the progress. Raises CorpusError when no split
    can be opened or the layout is unclear, ConfigError for options that a configuration decides.
    """
    if headers < 0:
        raise ConfigError(f"--sample is {headers}: it counts audio headers, 0 reads none")
    config, guess = _resolve(source, layout, src, tgt)
    splits = guess.splits if guess else (config.train_split, config.dev_split, config.test_split)
    surveys, absent = _survey_all(config, splits, headers, watch)
    return {
        "corpus": config.model_dump(mode="json"),
        "guessed_from": list(guess.signs) if guess else None,
        "splits": [asdict(found) for found in surveys],
        "absent": absent,
        "shared_audio": [asdict(found) for found in _overlaps(config, [s.split for s in surveys], headers)],
        "licenses": {name: _terms(name) for found in surveys for name in found.licenses},
    }


def check_page(path: Path) -> None:
    """Raise ConfigError for a page that could not be written, before the corpus is read for it."""
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"--html {path}: it names a file in a directory that exists; correct the path")


def render_inspection(result: dict[str, Any], path: Path) -> None:
    """Write the page, which loads nothing from anywhere, replacing the file."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("inspect.html.j2").render(result=result)
    write_bytes(path, page.encode())


def corpus_section(result: dict[str, Any]) -> str:
    """The `corpus:` section that reads this corpus, without the defaults."""
    config = CorpusConfig.model_validate(result["corpus"])
    values = config.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump({"corpus": values}, sort_keys=False, allow_unicode=True)


def _resolve(
    source: str, layout: Layout | None, src: str | None, tgt: str | None
) -> tuple[CorpusConfig, Guess | None]:
    if Path(source).is_dir():
        return guess_corpus(Path(source), layout=layout, src=src, tgt=tgt)
    if layout or src or tgt:
        raise ConfigError(
            f"--layout, --src and --tgt help to guess a folder's layout; {source!r} is no folder. "
            "A configuration has corpus.layout, corpus.src_lang and corpus.tgt_lang"
        )
    return load_config(source).corpus, None


def _survey_all(
    config: CorpusConfig, splits: tuple[str, ...], headers: int, watch: Watch
) -> tuple[list[Survey], dict[str, str]]:
    surveys, absent = [], {}
    for split in splits:
        try:
            corpus = open_corpus(config, split)
        except CorpusError as error:
            absent[split] = str(error)
            continue
        with watch(split) as progress:
            surveys.append(survey(corpus, headers=headers, progress=progress))
    if not surveys:
        raise CorpusError(next(iter(absent.values()), f"corpus {config.name!r} has no split"))
    return surveys, absent


def _overlaps(config: CorpusConfig, splits: list[str], sample: int) -> list[Overlap]:
    """What the train split shares with each of the others."""
    if config.train_split not in splits:
        return []
    train = open_corpus(config, config.train_split)
    held_out = [split for split in splits if split != config.train_split]
    return [shared_audio(train, open_corpus(config, split), sample=sample) for split in held_out]


def _terms(license: str) -> dict[str, bool]:
    return {"audio": allows_audio(license), "text": not forbids_derivatives(license)}
