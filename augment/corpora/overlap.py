"""Audio that two splits share: what is trained on must not be what is measured on.

Where utterances lie is compared for all of them; what their files hold only for a sample of the smaller split, for that
reads audio. It knows containers only as files: audio inside one is compared by its place there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from augment.atomic import file_sha256
from augment.audio import AudioError
from augment.corpora.base import Corpus
from augment.random import uniform01
from augment.schema import Utterance

_EXAMPLES = 3
Place = tuple[Path, str]
"""A file, and what an AudioRef names inside it: nothing where the file is the audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How many utterances of `split` have audio that `other` has too, and the first few pairs of ids.

    `same_place` counts overlapping parts of one file, `same_content` equal files of different names among the
    `files_compared` of `other`.
    """

    split: str
    other: str
    same_place: int
    same_content: int
    files_compared: int
    examples: tuple[str, ...]


def shared_audio(corpus: Corpus, other: Corpus, *, sample: int) -> Overlap:
    """The audio that both splits have; `sample` files of `other` are compared by content, 0 reads none."""
    theirs: dict[Place, list[Utterance]] = defaultdict(list)
    for place, utterance in _placed(other):
        theirs[place].append(utterance)
    chosen = sorted(theirs, key=lambda place: uniform01(0, "overlap", other.config.name, theirs[place][0].id))
    contents = _Contents([place for place in chosen if not place[1]][:sample])
    same_place = same_content = 0
    examples: list[str] = []
    for place, utterance in _placed(corpus):
        twin = next((u for u in theirs.get(place, ()) if _overlaps(u, utterance)), None)
        same_place += twin is not None
        if twin is None and (copy := contents.copy_of(place)) is not None:
            twin = next((u for u in theirs[copy] if _overlaps(u, utterance)), None)
            same_content += twin is not None
        if twin is not None and len(examples) < _EXAMPLES:
            examples.append(f"{utterance.id} and {twin.id}")
    return Overlap(
        split=corpus.split, other=other.split, same_place=same_place, same_content=same_content,
        files_compared=contents.num_files, examples=tuple(examples),
    )  # fmt: skip


class _Contents:
    """Files by size first, and by sha256 only where a size is met again."""

    def __init__(self, places: list[Place]) -> None:
        self._by_size: dict[int, list[Place]] = defaultdict(list)
        for place in places:
            if place[0].is_file():
                self._by_size[place[0].stat().st_size].append(place)
        self.num_files = sum(map(len, self._by_size.values()))
        self._digests: dict[Path, str] = {}

    def copy_of(self, place: Place) -> Place | None:
        """One of the files with the content of this one."""
        if not self._by_size or place[1] or not place[0].is_file():
            return None
        alike = self._by_size.get(place[0].stat().st_size, ())
        return next((known for known in alike if self._digest(known[0]) == self._digest(place[0])), None)

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = file_sha256(path)
        return self._digests[path]


def _placed(corpus: Corpus) -> Iterator[tuple[Place, Utterance]]:
    """Every utterance whose audio may be read, with its place; a survey counts the others."""
    for entry in corpus:
        if isinstance(entry, Utterance):
            try:
                path = corpus.audio_path(entry)
            except AudioError:
                continue
            yield (path, "" if path.suffix == Path(entry.audio.path).suffix else entry.audio.path), entry


def _overlaps(one: Utterance, other: Utterance) -> bool:
    (start, end), (other_start, other_end) = (_span(utterance) for utterance in (one, other))
    return start < other_end and other_start < end


def _span(utterance: Utterance) -> tuple[float, float]:
    audio = utterance.audio
    return audio.offset_s, inf if audio.duration_s is None else audio.offset_s + audio.duration_s
