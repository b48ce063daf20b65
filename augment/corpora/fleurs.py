"""FLEURS: the same sentences read aloud in 102 languages; a translation is the same sentence in the other language.

Below root, or below root/data: `{language}/{split}.tsv` without a header (id, file, raw text, text, characters,
num_samples, gender) and `{language}/audio/{split}/*.wav`. The folder of `de` is `de_de`; a full name such as
cmn_hans_cn may be given as the language.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from augment.corpora.base import CorpusError, FileCorpus
from augment.corpora.checks import Checker, Fields, reject
from augment.corpora.config import CorpusConfig
from augment.corpora.tsv import rows
from augment.schema import Rejection, Utterance

COLUMNS = 7
_OTHER_NAMES = {"zh": "cmn", "no": "nb", "tl": "fil"}


class FleursCorpus(FileCorpus):
    """One split of a pair, an utterance for each recording of the source language; ids are its file stems.

    The translations, a few thousand sentences, are held in memory; the first line of a sentence counts.
    """

    def __init__(self, config: CorpusConfig, split: str) -> None:
        root = Path(config.root)
        source = _find_language(root, config, config.src_lang, split)
        self._source = source / f"{split}.tsv"
        self._target = _find_language(root, config, config.tgt_lang, split) / f"{split}.tsv"
        audio = source / "audio" / split
        if not audio.exists() and audio.with_name(f"{split}.tar.gz").is_file():
            raise CorpusError(
                f"corpus {config.name!r}: {audio}.tar.gz is still packed; unpack it in {audio.parent}"
            )
        super().__init__(config, split, root=root, audio_dir=audio)
        self._folder = audio.relative_to(root).as_posix()

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        checker = Checker(self.config, self.split)
        translations = self._translations()
        for where, cells in rows(self._source, COLUMNS, header=False):
            if isinstance(cells, Rejection):
                yield cells
            else:
                fields = self._fields(where, cells, translations)
                yield fields if isinstance(fields, Rejection) else checker.utterance(fields)

    def _fields(self, where: str, cells: list[str], translations: dict[str, str]) -> Fields | Rejection:
        sentence, file, text, _, _, num_samples, _ = cells
        id = PurePosixPath(file).stem
        if not (num_samples.isascii() and num_samples.isdigit()):
            return reject(where, "malformed_line", f"column 6 counts samples, got {num_samples!r:.80}", id=id)
        if sentence not in translations:
            detail = f"{self._target.parent.name} has no readable sentence {sentence!r:.80}"
            return reject(where, "missing_translation", detail, id=id)
        return Fields(
            id=id,
            audio=file,
            folder=self._folder,
            tgt_text=translations[sentence],
            src_text=text,
            where=where,
        )

    def _translations(self) -> dict[str, str]:
        texts: dict[str, str] = {}
        for _, cells in rows(self._target, COLUMNS, header=False):
            if not isinstance(cells, Rejection):
                texts.setdefault(cells[0], cells[2])
        return texts

    def _metadata_files(self) -> dict[str, Path]:
        return {"source": self._source, "target": self._target}


def _find_language(root: Path, config: CorpusConfig, lang: str, split: str) -> Path:
    """The folder of a language: its own name, or the only one that begins with its code."""
    code = _OTHER_NAMES.get(lang, lang)
    found = sorted({path.parent for folder in (".", "data") for path in root.glob(f"{folder}/*/{split}.tsv")})
    named = [path for path in found if path.name == lang] or [
        path for path in found if path.name.startswith(f"{code}_")
    ]
    if len(named) == 1:
        return named[0]
    seen = named or found or [path for folder in (".", "data") for path in root.glob(f"{folder}/*/*.tsv")]
    names = sorted(path.relative_to(root).as_posix() for path in seen)[:20]
    raise CorpusError(
        f"corpus {config.name!r} (layout fleurs): looked in {root} for one folder {lang} or {code}_* with {split}.tsv; "
        f"found {names or 'no folder with a .tsv'}. Check root, the split's name, and the language"
    )
