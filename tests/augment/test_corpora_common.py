"""What holds for every layout: digests, laziness, and errors before any work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.audio import AudioError
from augment.corpora import Corpus, CorpusConfig, CorpusError, open_corpus
from augment.schema import Utterance
from tests.support.corpora import (
    write_covost2,
    write_europarl_st,
    write_fairseq,
    write_fleurs,
    write_iwslt,
    write_jsonl,
    write_parquet,
)

Writer = Callable[[Path], CorpusConfig]
TEXT_LAYOUTS: list[Writer] = [
    write_covost2,
    write_iwslt,
    write_europarl_st,
    write_fleurs,
    write_fairseq,
    write_jsonl,
]
EVERY_LAYOUT = pytest.mark.parametrize("write", [*TEXT_LAYOUTS, write_parquet])


def audio_files(root: Path) -> list[Path]:
    return [path for kind in ("wav", "flac", "zip") for path in sorted(root.glob(f"**/*.{kind}"))]


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
def test_header_tells_how_long_the_audio_lasts(tmp_path: Path, write: Writer) -> None:
    corpus = open_corpus(write(tmp_path), "train")
    utterances = [entry for entry in corpus if isinstance(entry, Utterance)]
    for utterance in utterances:
        decoded_s = len(corpus.load_audio(utterance)) / 16_000
        assert decoded_s > 1
        assert corpus.audio_seconds(utterance) == pytest.approx(decoded_s, abs=1e-4)
        assert corpus.audio_path(utterance).is_file()


@pytest.mark.parametrize("write", TEXT_LAYOUTS)
def test_audio_that_links_out_of_the_corpus_is_refused_however_it_is_used(
    tmp_path: Path, write: Writer
) -> None:
    corpus = open_corpus(write(tmp_path / "corpus"), "train")
    for number, file in enumerate(audio_files(tmp_path / "corpus")):
        file.rename(tmp_path / f"secret{number}")
        file.symlink_to(tmp_path / f"secret{number}")
    for entry in corpus:
        assert isinstance(entry, Utterance)
        for use in (corpus.load_audio, corpus.audio_seconds, corpus.audio_path):
            with pytest.raises(AudioError, match="audio_outside_root"):
                use(entry)


@EVERY_LAYOUT
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=10)
@given(keep=st.floats(0, 1), noise=st.binary(max_size=20))
def test_damaged_audio_is_an_audio_error_or_is_read_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, write: Writer, keep: float, noise: bytes
) -> None:
    root = tmp_path_factory.mktemp("corpus")
    corpus = open_corpus(write(root), "train")
    entries = list(corpus)
    for file in [*audio_files(root), *root.glob("**/*.parquet")]:
        whole = file.read_bytes()
        file.write_bytes(whole[: int(keep * len(whole))] + noise)
    for entry in entries:
        assert isinstance(entry, Utterance)
        for use in (corpus.load_audio, corpus.audio_seconds):
            with suppress(AudioError):
                use(entry)


@EVERY_LAYOUT
def test_no_path_of_this_machine_is_in_what_is_read(tmp_path: Path, write: Writer) -> None:
    assert str(tmp_path) not in repr(list(open_corpus(write(tmp_path), "train")))


@EVERY_LAYOUT
def test_absent_split_is_refused_with_what_was_found(tmp_path: Path, write: Writer) -> None:
    with pytest.raises(CorpusError, match=r"looked in .*; found \["):
        open_corpus(write(tmp_path), "tst-HE")


@pytest.mark.parametrize("write", TEXT_LAYOUTS)
def test_digest_changes_with_the_metadata_and_with_what_gives_it_meaning(
    tmp_path: Path, write: Writer
) -> None:
    config = write(tmp_path)
    digests = [open_corpus(config, "train").digest()]
    for change in ({"name": "other"}, {"license": "mit"}):
        digests.append(open_corpus(config.model_copy(update=change), "train").digest())
    names = ("**/*.tsv", "*.jsonl", "**/train.de", "**/train.en", "**/train.yaml", "**/segments.*")
    for metadata in [path for name in names for path in tmp_path.glob(name)]:
        changed = (
            metadata.read_bytes()
            .replace(b"Haus", b"Heim")
            .replace(b"house", b"home")
            .replace(b"offset: 0", b"offset: 1")
            .replace(b" 1.50", b" 1.40")
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
    "wrong",
    [
        {"layout": "europarl"},
        {"train_split": "../x"},
        {"clips_dir": "/etc"},
        {"sample_rate": 8000},
        {"files": "data/*.parquet"},
        {"files": "../{split}.parquet"},
        {"columns": {"audio": ""}},
        {"root": "hf://datasets/a/b@main"},
    ],
)
def test_configuration_that_cannot_mean_anything_is_refused(wrong: dict[str, object]) -> None:
    fields = {"name": "x", "layout": "jsonl", "root": ".", "src_lang": "en", "tgt_lang": "de"}
    with pytest.raises(ValidationError):
        CorpusConfig.model_validate(fields | wrong)
