"""Europarl-ST: speeches of the European Parliament, a list of segments, and line-aligned text.

Below root, or below root/v1.1: `{src}/{tgt}/{split}/segments.lst` with `speech begin end` in seconds per line,
`segments.{lang}` beside it, and `{src}/audios/{speech}.wav` (or flac, ogg, mp3, m4a).
The source text may be missing. Speakers are known where speeches.lst and speakers.lst have equally many lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from augment.corpora.aligned import check_alignment, seconds
from augment.corpora.base import CorpusError, FileCorpus
from augment.corpora.checks import Checker, Fields, reject
from augment.corpora.config import CorpusConfig
from augment.corpora.lines import count_lines, decoded, raw_lines
from augment.schema import Rejection, Utterance

_READABLE = (".wav", ".flac", ".ogg", ".mp3", ".m4a")


class EuroparlCorpus(FileCorpus):
    """One split; ids are `{speech}_{index within that speech}`, rejected segments counted in.

    An audio path has no suffix: it names a speech, in whichever readable format that lies there.
    """

    def __init__(self, config: CorpusConfig, split: str) -> None:
        root = Path(config.root)
        base = _find_split(root, config, split)
        audios = base.parent.parent / "audios"
        super().__init__(config, split, root=root, audio_dir=audios)
        self._folder = audios.relative_to(root).as_posix()
        self._list = base / "segments.lst"
        self._target = base / f"segments.{config.tgt_lang}"
        source = base / f"segments.{config.src_lang}"
        self._source = source if source.is_file() else None
        self._speeches, self._speakers = base / "speeches.lst", base / "speakers.lst"
        texts = [path for path in (self._target, self._source) if path is not None]
        check_alignment(self._list, count_lines(self._list), texts, hint="")

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        checker, segments_of, speakers = Checker(self.config, self.split), Counter[str](), self._speaker_of()
        targets = raw_lines(self._target)
        sources: Iterator[bytes | None] = raw_lines(self._source) if self._source else repeat(None)
        lines = enumerate(zip(raw_lines(self._list), targets, sources, strict=False), start=1)
        for number, (segment, target, source) in lines:
            where = f"{self._list.name}:{number}"
            fields = self._fields(where, segment, target, source, segments_of, speakers)
            yield fields if isinstance(fields, Rejection) else checker.utterance(fields)

    def audio_path(self, utterance: Utterance) -> Path:
        """The speech in the first format there is. Raises AudioError."""
        for suffix in _READABLE:
            path = self._contained(utterance.audio.path + suffix)
            if path.is_file():
                return path
        return self._contained(f"{utterance.audio.path}.wav")

    def _fields(
        self,
        where: str,
        segment: bytes,
        target: bytes,
        source: bytes | None,
        segments_of: Counter[str],
        speakers: dict[str, str],
    ) -> Fields | Rejection:
        cells = (decoded(segment) or "").split()
        if len(cells) != 3:
            return reject(where, "malformed_line", f"a segment is 'speech begin end', got {len(cells)} words")
        speech = cells[0].removesuffix(".m4a").removesuffix(".wav")
        id = f"{speech}_{segments_of[speech]}"
        segments_of[speech] += 1
        tgt_text, src_text = decoded(target), None if source is None else decoded(source)
        if tgt_text is None or (source is not None and src_text is None):
            return reject(
                where, "undecodable_utf8", "the segment's text line is not UTF-8; save it as UTF-8", id=id
            )
        begin_s, end_s = seconds(cells[1]), seconds(cells[2])
        return Fields(
            id=id,
            audio=speech,
            folder=self._folder,
            offset_s=begin_s,
            duration_s=round(end_s - begin_s, 6),
            tgt_text=tgt_text,
            src_text=src_text,
            speaker=speakers.get(speech),
            where=where,
        )

    def _speaker_of(self) -> dict[str, str]:
        """Speakers by speech, a few thousand; none where the two lists do not fit each other."""
        lists = (self._speeches, self._speakers)
        if not all(path.is_file() for path in lists) or len({count_lines(path) for path in lists}) != 1:
            return {}
        speeches, speakers = ((decoded(raw) or "" for raw in raw_lines(path)) for path in lists)
        return {speech.strip(): speaker.strip() for speech, speaker in zip(speeches, speakers, strict=True)}

    def _metadata_files(self) -> dict[str, Path]:
        optional = {"source": self._source, "speeches": self._speeches, "speakers": self._speakers}
        present = {role: path for role, path in optional.items() if path is not None and path.is_file()}
        return {"segments": self._list, "target": self._target} | present


def _find_split(root: Path, config: CorpusConfig, split: str) -> Path:
    below = f"{config.src_lang}/{config.tgt_lang}/{split}"
    for base in (root / below, root / "v1.1" / below):
        if (base / "segments.lst").is_file():
            _check_target(base, config)
            return base
    found = sorted(path.parent.relative_to(root).as_posix() for path in root.glob("**/segments.lst"))[:20]
    raise CorpusError(
        f"corpus {config.name!r} (layout europarl_st): looked in {root} for {below}/segments.lst and "
        f"v1.1/{below}/segments.lst; found {found or 'no segments.lst'}. Check root, src_lang, tgt_lang and the "
        "split's name"
    )


def _check_target(base: Path, config: CorpusConfig) -> None:
    if not (base / f"segments.{config.tgt_lang}").is_file():
        found = sorted(path.name for path in base.iterdir())[:20]
        raise CorpusError(
            f"corpus {config.name!r} (layout europarl_st): {base} lacks segments.{config.tgt_lang}, "
            f"the translations; it holds {found}. Check tgt_lang"
        )
