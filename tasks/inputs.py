"""Digests of what a stage reads from outside the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from augment.audio import AudioError
from augment.corpora import Corpus
from augment.schema import Utterance
from tasks.fingerprints import FileDigests
from tasks.reporting import Progress


def audio_digest(
    digests: FileDigests, corpus: Corpus, utterances: Iterable[Utterance], progress: Progress | None = None
) -> str:
    """One digest over the audio files of these utterances; a refused path or missing file counts as such."""
    return digests.digest_all(_paths(corpus, utterances), progress)


def _paths(corpus: Corpus, utterances: Iterable[Utterance]) -> Iterator[Path]:
    for utterance in utterances:
        try:
            yield corpus.audio_path(utterance)
        except AudioError:
            yield Path("refused") / utterance.id  # counted as missing; the stage rejects it by name
