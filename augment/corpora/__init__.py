"""Offline speech-translation corpora as people have them, read as one stream of Utterances and Rejections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from augment.corpora.base import Corpus, CorpusError
from augment.corpora.config import HUB_PREFIX, CorpusConfig, Layout
from augment.corpora.covost2 import CovostCorpus
from augment.corpora.europarl_st import EuroparlCorpus
from augment.corpora.fairseq import FairseqCorpus
from augment.corpora.fleurs import FleursCorpus
from augment.corpora.iwslt import IwsltCorpus
from augment.corpora.jsonl import JsonlCorpus
from augment.corpora.parquet import ParquetCorpus

__all__ = ["Corpus", "CorpusConfig", "CorpusError", "Layout", "open_corpus"]

_LAYOUTS: dict[Layout, Callable[[CorpusConfig, str], Corpus]] = {
    "covost2": CovostCorpus,
    "iwslt": IwsltCorpus,
    "europarl_st": EuroparlCorpus,
    "fleurs": FleursCorpus,
    "fairseq": FairseqCorpus,
    "parquet": ParquetCorpus,
    "jsonl": JsonlCorpus,
}


def open_corpus(config: CorpusConfig, split: str) -> Corpus:
    """One split of the corpus, its layout checked but nothing yet read.

    Raises CorpusError when root is not laid out as configured: what was looked for, and what was found. A corpus on
    the Hub also raises HubError.
    """
    if not config.root.startswith(HUB_PREFIX):
        _check_root(config)
    return _LAYOUTS[config.layout](config, split)


def _check_root(config: CorpusConfig) -> None:
    root = Path(config.root)
    if not root.exists():
        raise CorpusError(
            f"corpus {config.name!r}: root {config.root!r} does not exist on this machine (current directory "
            f"{Path.cwd()}); give the directory that holds the corpus"
        )
    if root.is_file() and config.layout != "jsonl":
        raise CorpusError(
            f"corpus {config.name!r}: root {config.root!r} is a file; layout {config.layout} needs a folder"
        )
