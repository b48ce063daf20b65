"""What holds for every layout: digests, laziness, and errors before any work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from augment.corpora import Corpus, CorpusConfig, CorpusError, open_corpus
from augment.schema import Utterance
from tests.support.corpora import write_covost2, write_iwslt, write_jsonl

Writer = Callable[[Path], CorpusConfig]
EVERY_LAYOUT = pytest.mark.parametrize("write", [write_covost2, write_iwslt, write_jsonl])


def texts(corpus: Corpus) -> list[str]:
    return [entry.tgt_text for entry in corpus if isinstance(entry, Utterance)]


@EVERY_LAYOUT
def test_corpus_can_be_read_again_and_is_lazy(tmp_path: Path, write: Writer) -> None:
    corpus = open_corpus(write(tmp_path), "train")
    first = next(iter(corpus))
    assert isinstance(first, Utterance)
    assert texts(corpus) == texts(corpus)
    assert len(texts(corpus)) >= 4


@EVERY_LAYOUT
def test_reading_metadata_needs_no_audio(tmp_path: Path, write: Writer) -> None:
    config = write(tmp_path)
    before = texts(open_corpus(config, "train"))
    for audio in [*tmp_path.glob("**/*.wav"), *tmp_path.glob("**/*.flac")]:
        audio.unlink()
    assert texts(open_corpus(config, "train")) == before


@EVERY_LAYOUT
def test_digest_is_the_same_wherever_the_corpus_lies(tmp_path: Path, write: Writer) -> None:
    here = write(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    there = here.model_copy(update={"root": str(tmp_path / "there")})
    assert open_corpus(here, "train").digest() == open_corpus(there, "train").digest()


@EVERY_LAYOUT
def test_digest_changes_with_the_metadata_and_with_what_gives_it_meaning(
    tmp_path: Path, write: Writer
) -> None:
    config = write(tmp_path)
    digests = [open_corpus(config, "train").digest()]
    for change in ({"name": "other"}, {"license": "mit"}):
        digests.append(open_corpus(config.model_copy(update=change), "train").digest())
    names = ("*.tsv", "*.jsonl", "**/train.de", "**/train.en", "**/train.yaml")
    for metadata in [path for name in names for path in tmp_path.glob(name)]:
        changed = (
            metadata.read_bytes()
            .replace(b"Haus", b"Heim")
            .replace(b"house", b"home")
            .replace(b"offset: 0", b"offset: 1")
        )
        metadata.write_bytes(changed)
        digests.append(open_corpus(config, "train").digest())
    assert len(digests) >= 4
    assert len(set(digests)) == len(digests)


@EVERY_LAYOUT
def test_missing_root_is_refused_by_name(tmp_path: Path, write: Writer) -> None:
    config = write(tmp_path).model_copy(update={"root": str(tmp_path / "nowhere")})
    with pytest.raises(CorpusError, match=r"'toy': root '.*nowhere' does not exist"):
        open_corpus(config, "train")


def test_file_as_root_of_a_folder_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").touch()
    config = CorpusConfig(
        name="x", layout="covost2", root=str(tmp_path / "x.tsv"), src_lang="en", tgt_lang="de"
    )
    with pytest.raises(CorpusError, match="is a file; layout covost2 needs a folder"):
        open_corpus(config, "train")


@pytest.mark.parametrize(
    "wrong", [{"layout": "europarl"}, {"train_split": "../x"}, {"clips_dir": "/etc"}, {"sample_rate": 8000}]
)
def test_configuration_that_cannot_mean_anything_is_refused(wrong: dict[str, object]) -> None:
    fields = {"name": "x", "layout": "jsonl", "root": ".", "src_lang": "en", "tgt_lang": "de"}
    with pytest.raises(ValidationError):
        CorpusConfig.model_validate(fields | wrong)
