"""CoVoST 2: a TSV per language pair beside the clips of Common Voice.

Looked for below root, in this order: `covost_v2.{src}_{tgt}.{split}.tsv`; `covost_v2.{src}_{tgt}.tsv` with a
`split` column; `{split}.tsv`. Columns: path, translation, and if present sentence and client_id. Quotes are
plain characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from augment.corpora.base import CorpusError, FileCorpus
from augment.corpora.checks import Checker, Fields, reject
from augment.corpora.config import CorpusConfig
from augment.corpora.tsv import read_header, rows
from augment.schema import Rejection, Utterance


class CovostCorpus(FileCorpus):
    """One split of a CoVoST 2 language pair. Ids are the clips' file stems.

    In a TSV that holds all splits, a line too damaged to tell its split is a Rejection of each of them.
    """

    def __init__(self, config: CorpusConfig, split: str) -> None:
        root = Path(config.root)
        super().__init__(config, split, root=root, audio_dir=root / config.clips_dir)
        self._tsv, per_split = _find_tsv(root, config, split)
        required = ["path", "translation"] if per_split else ["path", "translation", "split"]
        self._columns = read_header(self._tsv, required)
        self._split_column = self._columns.index("split") if "split" in self._columns else None
        self._per_split = per_split
        if self._split_column is not None and not per_split:
            self._check_split_exists(self._split_column)

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        checker = Checker(self.config, self.split)
        at = {name: index for index, name in enumerate(self._columns)}
        for where, cells in rows(self._tsv, len(self._columns), header=True):
            if isinstance(cells, Rejection):
                yield cells
            elif self._split_column is None or cells[self._split_column] == self.split:
                yield checker.utterance(self._fields(where, cells, at))
            elif self._per_split:
                yield self._wrong_split(where, cells[self._split_column])

    def _fields(self, where: str, cells: list[str], at: dict[str, int]) -> Fields:
        path = cells[at["path"]]
        return Fields(
            id=PurePosixPath(path).stem,
            audio=path,
            folder=self.config.clips_dir,
            tgt_text=cells[at["translation"]],
            src_text=cells[at["sentence"]] if "sentence" in at else None,
            speaker=cells[at["client_id"]] if "client_id" in at else None,
            where=where,
        )

    def _wrong_split(self, where: str, named: str) -> Rejection:
        return reject(
            where, "wrong_split", f"the line says split {named!r} but lies in the file of {self.split!r}"
        )

    def _metadata_files(self) -> dict[str, Path]:
        return {"tsv": self._tsv}

    def _check_split_exists(self, column: int) -> None:
        found: set[str] = set()
        for _, cells in rows(self._tsv, len(self._columns), header=True):
            if not isinstance(cells, Rejection):
                found.add(cells[column])
                if cells[column] == self.split:
                    return
        raise CorpusError(
            f"{self._tsv} has no line of split {self.split!r}; its split column holds: {sorted(found)[:20]}"
        )


def _find_tsv(root: Path, config: CorpusConfig, split: str) -> tuple[Path, bool]:
    """The TSV that holds the split, and whether it holds that split alone."""
    pair = f"covost_v2.{config.src_lang}_{config.tgt_lang}"
    candidates = [(f"{pair}.{split}.tsv", True), (f"{pair}.tsv", False), (f"{split}.tsv", True)]
    for name, per_split in candidates:
        if (root / name).is_file():
            return root / name, per_split
    found = sorted(path.name for path in root.glob("*.tsv"))[:20]
    raise CorpusError(
        f"corpus {config.name!r} (layout covost2): looked in {root} for {', '.join(name for name, _ in candidates)}; "
        f"found {found or 'no .tsv file'}. Check root, src_lang, tgt_lang and the split's name"
    )
