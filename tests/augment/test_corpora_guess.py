"""A folder's layout is told by its signs; unclear signs are named instead of guessed over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.corpora.guess import guess_corpus
from augment.schema import Utterance
from tests.support.corpora import (
    audio_row,
    write_covost2,
    write_europarl_st,
    write_fairseq,
    write_fleurs,
    write_iwslt,
    write_jsonl,
    write_parquet,
)

Writer = Callable[[Path], CorpusConfig]
WRITERS: list[Writer] = [
    write_covost2,
    write_iwslt,
    write_europarl_st,
    write_fleurs,
    write_fairseq,
    write_parquet,
    write_jsonl,
]


@pytest.mark.parametrize("write", WRITERS)
def test_guessed_configuration_reads_the_same_utterances(tmp_path: Path, write: Writer) -> None:
    known = write(tmp_path / "toy")
    config, guess = guess_corpus(tmp_path / "toy", src="en", tgt="de")
    assert (config.name, config.layout, guess.splits) == ("toy", known.layout, ("train",))
    assert guess.signs
    plain = known.model_copy(update={"license": "unknown"})
    assert list(open_corpus(config, "train")) == list(open_corpus(plain, "train"))


def test_languages_come_from_names_where_names_tell_them(tmp_path: Path) -> None:
    write_iwslt(tmp_path / "mustc/en-de")
    write_europarl_st(tmp_path / "ep", src="fr", tgt="it")
    write_covost2(tmp_path / "cv", src="en", tgt="zh-CN")
    pairs = {name: guess_corpus(tmp_path / name)[0] for name in ("mustc", "ep", "cv")}
    assert {name: (c.src_lang, c.tgt_lang) for name, c in pairs.items()} == {
        "mustc": ("en", "de"),
        "ep": ("fr", "it"),
        "cv": ("en", "zh-CN"),
    }


def test_several_pairs_are_listed_and_one_language_may_decide(tmp_path: Path) -> None:
    for tgt in ("de", "fr"):
        write_covost2(tmp_path, src="en", tgt=tgt)
    with pytest.raises(CorpusError, match=r"pairs: en-de, en-fr; choose with --src and --tgt"):
        guess_corpus(tmp_path)
    assert guess_corpus(tmp_path, tgt="fr")[0].tgt_lang == "fr"


def test_several_layouts_are_listed_and_the_option_decides(tmp_path: Path) -> None:
    write_covost2(tmp_path)
    write_jsonl(tmp_path)
    with pytest.raises(
        CorpusError, match=r"covost2 \(covost_v2.*jsonl \(train\.jsonl\)\. Choose one with --layout"
    ):
        guess_corpus(tmp_path)
    assert guess_corpus(tmp_path, layout="jsonl")[0].layout == "jsonl"


def test_folder_without_signs_says_what_was_looked_for_and_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(CorpusError, match=r"europarl_st: .*segments\.lst.*Found \['readme\.txt'\]"):
        guess_corpus(tmp_path)
    with pytest.raises(CorpusError, match=r"Looked for fleurs: [^;]*\. Found"):
        guess_corpus(tmp_path, layout="fleurs")


def test_splits_come_in_the_order_of_use(tmp_path: Path) -> None:
    for split in ("tst-COMMON", "test", "dev", "train"):
        write_iwslt(tmp_path / "en-de", split=split, recordings=1, segments=1)
    assert guess_corpus(tmp_path)[1].splits == ("train", "dev", "test", "tst-COMMON")


def test_columns_of_parquet_are_told_by_their_usual_names_and_types(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = audio_row(0)
    renamed = {"speech": row["audio"], "text": row["sentence"], "target": row["translation"]}
    pq.write_table(pa.Table.from_pylist([renamed]), tmp_path / "validation-00000-of-00001.parquet")
    config, guess = guess_corpus(tmp_path)
    assert (config.columns.audio, config.columns.src_text, config.columns.tgt_text) == (
        "speech",
        "text",
        "target",
    )
    assert guess.splits == ("validation",)
    (found,) = open_corpus(config, "validation")
    assert isinstance(found, Utterance)


NAMES = st.sampled_from(
    ["train.tsv", "covost_v2.en_de.tsv", "a/b/train/segments.lst", "train/txt/train.yaml", "en_us/dev.tsv",
     "de_de/dev.tsv", "train.parquet", "x.jsonl", "manifest.jsonl", "train/0.parquet", "a.txt"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, st.binary(max_size=30), max_size=4))
def test_damaged_files_are_guessed_or_refused_and_never_crash(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("folder")
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    try:
        config, guess = guess_corpus(root)
        list(open_corpus(config, guess.splits[0]))
    except CorpusError as error:
        assert str(root) in str(error)  # noqa: PT017
