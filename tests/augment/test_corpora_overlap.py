"""Audio of the test split that is trained on is found: by its place in all lines, by its content in a sample."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.corpora import CorpusConfig, open_corpus
from augment.corpora.overlap import Overlap, _span, shared_audio
from augment.schema import AudioRef
from flows.inspect_corpus import inspect_corpus, render_inspection
from tests.support.corpora import write_audio, write_covost2, write_jsonl, write_parquet
from tests.support.examples import utterance


def found(config: CorpusConfig, sample: int = 100) -> Overlap:
    return shared_audio(open_corpus(config, "train"), open_corpus(config, "test"), sample=sample)


def line(split: str, audio: str, **more: object) -> str:
    return json.dumps(
        {"id": f"{split}-{audio}-{more}", "audio": audio, "src_text": "a", "tgt_text": "b"} | more
    )


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusConfig:
    config = write_jsonl(tmp_path, 3)
    write_jsonl(tmp_path, 3, split="test")
    for seed, path in enumerate(sorted(tmp_path.glob("audio/test_*.flac")), start=50):
        write_audio(path, 1.0, seed=seed)  # the toy splits hold equal tones
    return config


def add(config: CorpusConfig, split: str, *lines: str) -> None:
    with (Path(config.root) / f"{split}.jsonl").open("a") as file:
        file.writelines(f"{text}\n" for text in lines)


def test_splits_of_their_own_audio_share_nothing(corpus: CorpusConfig) -> None:
    assert found(corpus) == Overlap(
        split="train", other="test", same_place=0, same_content=0, files_compared=3, examples=()
    )


def test_a_file_of_both_splits_is_found_without_reading_it(corpus: CorpusConfig) -> None:
    add(corpus, "train", line("train", "audio/test_001.flac"))

    shared = found(corpus, sample=0)

    assert (shared.same_place, shared.same_content, shared.files_compared) == (1, 0, 0)
    assert "train-audio/test_001.flac" in shared.examples[0]


def test_a_link_is_the_file_that_it_leads_to(corpus: CorpusConfig) -> None:
    root = Path(corpus.root)
    (root / "audio/other.flac").symlink_to(root / "audio/test_001.flac")
    add(corpus, "train", line("train", "audio/other.flac"))

    assert found(corpus, sample=0).same_place == 1


def test_a_copy_under_another_name_is_found_by_its_content(corpus: CorpusConfig) -> None:
    root = Path(corpus.root)
    shutil.copy(root / "audio/test_001.flac", root / "audio/copy.flac")
    add(corpus, "train", line("train", "audio/copy.flac"))

    assert (found(corpus).same_place, found(corpus).same_content) == (0, 1)
    assert found(corpus, sample=0).same_content == 0


def test_parts_of_one_recording_are_shared_only_where_they_overlap(corpus: CorpusConfig) -> None:
    write_audio(Path(corpus.root) / "audio/talk.wav", 9.0)
    add(corpus, "test", line("test", "audio/talk.wav", offset_s=3.0, duration_s=2.0))
    for offset_s in (1.0, 4.5, 5.0):
        add(corpus, "train", line("train", "audio/talk.wav", offset_s=offset_s, duration_s=2.0))

    shared = found(corpus)
    assert shared.same_place == 1
    assert "4.5" in shared.examples[0]


def test_rows_of_one_container_are_told_apart(tmp_path: Path) -> None:
    config = write_parquet(tmp_path)
    train = open_corpus(config, "train")

    whole = shared_audio(train, train, sample=10)
    assert whole.same_place == len(list(train))
    assert whole.examples[0] == " and ".join([next(iter(train)).id] * 2)


def test_audio_outside_the_corpus_is_left_to_the_survey(corpus: CorpusConfig) -> None:
    add(corpus, "train", line("train", "../outside.flac"))
    add(corpus, "test", line("test", "../outside.flac"))

    assert found(corpus).same_place == 0


def test_the_same_clips_under_two_splits_of_covost_are_all_found(tmp_path: Path) -> None:
    config = write_covost2(tmp_path, 3)
    tables = {path.name.split(".")[1]: path for path in tmp_path.rglob("*train*.tsv")}
    for path in tables.values():
        shutil.copy(path, path.with_name(path.name.replace("train", "test")))

    assert found(config).same_place == 3


def test_inspect_tells_it_to_programs_and_on_its_page(corpus: CorpusConfig, tmp_path: Path) -> None:
    add(corpus, "train", line("train", "audio/test_001.flac"))

    result = inspect_corpus(corpus.root, layout="jsonl", src="en", tgt="de")
    render_inspection(result, tmp_path / "page.html")

    assert [(s["other"], s["same_place"]) for s in result["shared_audio"]] == [("test", 1)]
    assert "1 utterances of train have audio that test has too" in (tmp_path / "page.html").read_text()


@settings(deadline=None, max_examples=200)
@given(offset_s=st.floats(0, 1e4), duration_s=st.none() | st.floats(0.01, 1e4))
def test_a_part_begins_where_it_says_and_ends_later(offset_s: float, duration_s: float | None) -> None:
    start, end = _span(utterance("u", audio=AudioRef(path="a", offset_s=offset_s, duration_s=duration_s)))
    assert start == offset_s < end
