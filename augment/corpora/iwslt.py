"""IWSLT and MuST-C: long recordings, a YAML list of segments, and line-aligned text.

Below root, or below root/data, root/{src}-{tgt}, root/{src}-{tgt}/data: `{split}/wav/*.wav`,
`{split}/txt/{split}.yaml` and `{split}/txt/{split}.{lang}`. The source text may be missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path, PurePosixPath

from augment.corpora.aligned import check_alignment, seconds
from augment.corpora.base import CorpusError, FileCorpus
from augment.corpora.checks import Checker, Fields, reject
from augment.corpora.config import CorpusConfig
from augment.corpora.lines import decoded, raw_lines
from augment.corpora.yaml_list import count_entries, entries
from augment.schema import Rejection, Utterance


class IwsltCorpus(FileCorpus):
    """One split; ids are `{wav stem}_{index within that wav}`, rejected segments counted in."""

    def __init__(self, config: CorpusConfig, split: str) -> None:
        root = Path(config.root)
        base = _find_split(root, config, split)
        super().__init__(config, split, root=root, audio_dir=base / "wav")
        self._folder = (base / "wav").relative_to(root).as_posix()
        self._yaml = base / "txt" / f"{split}.yaml"
        self._target = base / "txt" / f"{split}.{config.tgt_lang}"
        source = base / "txt" / f"{split}.{config.src_lang}"
        self._source = source if source.is_file() else None
        texts = [path for path in (self._target, self._source) if path is not None]
        hint = ", and each segment is a list entry that begins with '- '"
        check_alignment(self._yaml, count_entries(self._yaml), texts, hint=hint)

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        checker = Checker(self.config, self.split)
        segments_of: Counter[str] = Counter()
        targets = raw_lines(self._target)
        sources: Iterator[bytes | None] = raw_lines(self._source) if self._source else repeat(None)
        for (line, entry), target, source in zip(entries(self._yaml), targets, sources, strict=False):
            where = f"{self._yaml.name}:{line}"
            if isinstance(entry, str):
                yield reject(where, "malformed_line", entry)
                continue
            fields = self._fields(where, entry, target, source, segments_of)
            yield fields if isinstance(fields, Rejection) else checker.utterance(fields)

    def _fields(
        self,
        where: str,
        entry: dict[str, str],
        target: bytes,
        source: bytes | None,
        segments_of: Counter[str],
    ) -> Fields | Rejection:
        missing = [key for key in ("wav", "offset", "duration") if key not in entry]
        if missing:
            return reject(
                where, "missing_field", f"a segment names wav, offset and duration; this one lacks {missing}"
            )
        stem = PurePosixPath(entry["wav"]).stem
        id = f"{stem}_{segments_of[stem]}"
        segments_of[stem] += 1
        tgt_text, src_text = decoded(target), None if source is None else decoded(source)
        if tgt_text is None or (source is not None and src_text is None):
            return reject(
                where, "undecodable_utf8", "the segment's text line is not UTF-8; save it as UTF-8", id=id
            )
        return Fields(
            id=id,
            audio=entry["wav"],
            folder=self._folder,
            offset_s=seconds(entry["offset"]),
            duration_s=seconds(entry["duration"]),
            tgt_text=tgt_text,
            src_text=src_text,
            speaker=entry.get("speaker_id"),
            where=where,
        )

    def _metadata_files(self) -> dict[str, Path]:
        files = {"segments": self._yaml, "target": self._target}
        return files | ({"source": self._source} if self._source else {})


def _find_split(root: Path, config: CorpusConfig, split: str) -> Path:
    pair = f"{config.src_lang}-{config.tgt_lang}"
    bases = [root / folder / split for folder in (".", "data", pair, f"{pair}/data")]
    for base in bases:
        if (base / "txt" / f"{split}.yaml").is_file():
            _check_target(base / "txt", config, split)
            return base
    looked_for = ", ".join(str((base / "txt" / f"{split}.yaml").relative_to(root)) for base in bases)
    found = sorted(path.relative_to(root).as_posix() for path in root.glob("**/txt/*.yaml"))[:20]
    raise CorpusError(
        f"corpus {config.name!r} (layout iwslt): looked in {root} for {looked_for}; "
        f"found {found or 'no txt/*.yaml'}. Check root, src_lang, tgt_lang and the split's name"
    )


def _check_target(txt: Path, config: CorpusConfig, split: str) -> None:
    if not (txt / f"{split}.{config.tgt_lang}").is_file():
        found = sorted(path.name for path in txt.iterdir())[:20]
        raise CorpusError(
            f"corpus {config.name!r} (layout iwslt): {txt} lacks {split}.{config.tgt_lang}, "
            f"the translations; it holds {found}. Check tgt_lang"
        )
