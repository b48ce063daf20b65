"""FLEURS as it is found on disk: two languages joined by sentence, several readers, damage in either file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.schema import AudioRef, Rejection, Utterance
from tests.support.corpora import sentence, write_fleurs

GOOD = "1\ta.wav\tDer Satz.\tder satz\td|e|r\t32000\tMALE"


def config_of(root: Path, **changes: str) -> CorpusConfig:
    fields = {"name": "fl", "layout": "fleurs", "root": str(root), "src_lang": "en", "tgt_lang": "de"}
    return CorpusConfig.model_validate(fields | changes)


def read(root: Path, source: list[bytes], target: list[bytes]) -> list[Utterance | Rejection]:
    for folder, lines in (("en_us", source), ("de_de", target)):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / "dev.tsv").write_bytes(b"".join(line + b"\n" for line in lines))
    return list(open_corpus(config_of(root), "dev"))


def test_every_recording_is_translated_by_the_same_sentence_of_the_other_language(tmp_path: Path) -> None:
    corpus = open_corpus(write_fleurs(tmp_path, 2), "train")
    first, _, again = (entry for entry in corpus if isinstance(entry, Utterance))
    assert first.audio == AudioRef(path="en_us/audio/train/en00000.wav")
    assert (first.src_text, first.tgt_text) == (f"{sentence('en', 0)}.", f"{sentence('de', 0)}.")
    assert (again.id, again.tgt_text) == ("en00002", first.tgt_text)
    assert len(corpus.load_audio(again)) == 32_000


def test_languages_are_found_below_data_and_by_their_full_name(tmp_path: Path) -> None:
    write_fleurs(tmp_path / "data")
    (tmp_path / "data/de_de").rename(tmp_path / "data/cmn_hans_cn")
    for name in ("zh", "cmn_hans_cn"):
        (first, *_) = open_corpus(config_of(tmp_path, tgt_lang=name), "train")
        assert isinstance(first, Utterance)
        assert (first.audio.path, first.tgt_lang) == ("data/en_us/audio/train/en00000.wav", name)


def test_ambiguous_or_absent_language_names_the_folders(tmp_path: Path) -> None:
    write_fleurs(tmp_path)
    (tmp_path / "en_us").rename(tmp_path / "en_gb")
    write_fleurs(tmp_path)
    with pytest.raises(CorpusError, match=r"one folder en or en_\* .*found \['en_gb', 'en_us'\]"):
        open_corpus(config_of(tmp_path), "train")
    with pytest.raises(CorpusError, match=r"fr_\*.*'de_de', 'en_gb', 'en_us'"):
        open_corpus(config_of(tmp_path, src_lang="fr"), "train")


def test_packed_audio_is_refused_before_any_work(tmp_path: Path) -> None:
    config = write_fleurs(tmp_path)
    (tmp_path / "en_us/audio/train").rename(tmp_path / "en_us/audio/elsewhere")
    (tmp_path / "en_us/audio/train.tar.gz").touch()
    with pytest.raises(CorpusError, match=r"train\.tar\.gz is still packed; unpack it"):
        open_corpus(config, "train")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD.replace("1\t", "2\t", 1), "missing_translation"),
        (GOOD.replace("32000", "many"), "malformed_line"),
        (GOOD + "\textra", "malformed_line"),
        (GOOD.replace("a.wav", "../../a.wav"), "audio_outside_root"),
        (GOOD.replace("a.wav", "a\x00.wav"), "invalid_audio_path"),
    ],
)
def test_bad_line_is_rejected_with_its_place_and_harms_no_other(
    tmp_path: Path, line: str, reason: str
) -> None:
    bad, good = read(tmp_path, [line.encode(), GOOD.encode()], [GOOD.encode()])
    assert isinstance(bad, Rejection)
    assert (bad.reason, bad.where) == (reason, "dev.tsv:1")
    assert isinstance(good, Utterance)


def test_damaged_translation_rejects_its_recordings_only(tmp_path: Path) -> None:
    other = GOOD.replace("1\t", "2\t", 1).replace("a.wav", "b.wav").encode()
    results = read(tmp_path, [GOOD.encode(), other], [b"1\t\xff", other])
    assert [getattr(r, "reason", "read") for r in results] == ["missing_translation", "read"]


CELL = st.one_of(st.sampled_from(["1", "2", "a.wav", "32000"]), st.text(max_size=5)).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)
LINE = st.one_of(
    st.binary(max_size=40),
    st.lists(CELL, min_size=6, max_size=8).map(b"\t".join),
    st.just(GOOD.encode()),
).filter(lambda raw: b"\n" not in raw)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(st.lists(LINE, max_size=6), st.lists(LINE, max_size=4))
def test_damaged_files_never_crash_and_every_recording_is_accounted_for(
    tmp_path: Path, source: list[bytes], target: list[bytes]
) -> None:
    assert len(read(tmp_path, source, target)) == len(source)
