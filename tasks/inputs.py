"""Digests of what a stage reads from outside the store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from augment.audio import AudioError
from augment.corpora import Corpus
from augment.m4a import m4a_libraries
from augment.schema import Utterance
from tasks.fingerprints import FileDigests
from tasks.reporting import Progress
from tasks.store import fingerprint


def audio_digest(
    digests: FileDigests, corpus: Corpus, utterances: Iterable[Utterance], progress: Progress | None = None
) -> str:
    """One digest over the audio files of these utterances; a refused path or missing file counts as such."""
    paths: list[Path] = []
    refused: list[str] = []
    for utterance in utterances:
        try:
            paths.append(corpus.audio_path(utterance))
        except AudioError:
            refused.append(utterance.id)  # the stage rejects it by name
    decoders = m4a_libraries(paths)  # named only where one is used: other corpora keep their keys
    return fingerprint([digests.digest_all(paths, progress), refused, *([decoders] if decoders else [])])
