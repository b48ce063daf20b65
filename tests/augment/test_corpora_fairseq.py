"""fairseq's S2T manifests as they are found on disk: files, parts of files, entries of zips, and damage."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.audio import AudioError, read_segment
from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.schema import AudioRef, Rejection, Utterance
from tests.support.corpora import encoded, sentence, write_audio, write_fairseq

HEADER = "id\taudio\tn_frames\ttgt_text\tspeaker"


def config_of(root: Path, **changes: object) -> CorpusConfig:
    fields = {"name": "s2t", "layout": "fairseq", "root": str(root), "src_lang": "en", "tgt_lang": "de"}
    return CorpusConfig.model_validate(fields | changes)


def read(root: Path, *lines: str | bytes) -> list[Utterance | Rejection]:
    raw = (line if isinstance(line, bytes) else line.encode() for line in lines)
    (root / "dev.tsv").write_bytes(HEADER.encode() + b"\n" + b"".join(line + b"\n" for line in raw))
    return list(open_corpus(config_of(root), "dev"))


def audio_of(root: Path, place: str) -> np.ndarray:
    (utterance,) = read(root, f"a\t{place}\t1\tgut\tme")
    assert isinstance(utterance, Utterance)
    return open_corpus(config_of(root), "dev").load_audio(utterance)


def test_entries_of_a_zip_sound_like_the_files_they_were(tmp_path: Path) -> None:
    packed = open_corpus(write_fairseq(tmp_path / "packed", 3), "train")
    plain = open_corpus(write_fairseq(tmp_path / "plain", 3, zipped=False), "train")
    for one, other in zip(packed, plain, strict=True):
        assert isinstance(one, Utterance)
        assert isinstance(other, Utterance)
        assert (one.id, one.tgt_text, one.speaker) == (other.id, other.tgt_text, other.speaker)
        np.testing.assert_array_equal(packed.load_audio(one), plain.load_audio(other))
        assert packed.audio_path(one) == tmp_path / "packed/audio.zip"
    assert isinstance(one, Utterance)
    assert (one.src_text, one.tgt_text) == (sentence("en", 2), sentence("de", 2))


def test_part_of_a_file_counts_frames_at_the_configured_rate(tmp_path: Path) -> None:
    write_audio(tmp_path / "talk.wav", 3.0, rate_hz=16_000)
    whole = read_segment(tmp_path / "talk.wav", AudioRef(path="talk.wav"))
    np.testing.assert_array_equal(audio_of(tmp_path, "talk.wav:8000:16000"), whole[8_000:24_000])
    (slow,) = open_corpus(config_of(tmp_path, offset_rate_hz=8_000), "dev")
    assert isinstance(slow, Utterance)
    assert slow.audio == AudioRef(path="talk.wav", offset_s=1.0, duration_s=2.0)
    digests = {open_corpus(config_of(tmp_path, offset_rate_hz=r), "dev").digest() for r in (8_000, 16_000)}
    assert len(digests) == 2


def test_absolute_path_below_root_is_read_and_any_other_is_not(tmp_path: Path) -> None:
    write_audio(tmp_path / "corpus/wav/a.wav", 1.0)
    write_audio(tmp_path / "secret.wav", 1.0)
    root = tmp_path / "corpus"
    inside, outside, climbing = read(
        root,
        f"a\t{root}/wav/a.wav\t1\tgut\tme",
        f"b\t{tmp_path}/secret.wav\t1\tgut\tme",
        f"c\t{root}/../secret.wav:0:9\t1\tgut\tme",
    )
    assert isinstance(inside, Utterance)
    assert inside.audio.path == "wav/a.wav"
    assert [r.reason for r in (outside, climbing) if isinstance(r, Rejection)] == ["audio_outside_root"] * 2


def test_zip_that_links_out_of_the_corpus_is_refused(tmp_path: Path) -> None:
    config = write_fairseq(tmp_path / "corpus", 1)
    pack = tmp_path / "corpus/audio.zip"
    pack.rename(tmp_path / "elsewhere.zip")
    pack.symlink_to(tmp_path / "elsewhere.zip")
    corpus = open_corpus(config, "train")
    (utterance,) = corpus
    assert isinstance(utterance, Utterance)
    for use in (corpus.load_audio, corpus.audio_path, corpus.audio_seconds):
        with pytest.raises(AudioError, match="audio_outside_root"):
            use(utterance)


def test_what_is_no_audio_says_what_it_is(tmp_path: Path) -> None:
    features = io.BytesIO()
    np.save(features, np.zeros((9, 80), dtype=np.float32))
    (tmp_path / "fbank80.zip").write_bytes(features.getvalue())
    with zipfile.ZipFile(tmp_path / "audio.zip", "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("a.flac", encoded(1.0))
    with pytest.raises(AudioError, match=r"audio_undecodable: .*NumPy feature matrix"):
        audio_of(tmp_path, f"fbank80.zip:0:{len(features.getvalue())}")
    with pytest.raises(AudioError, match=r"audio_undecodable: .*uncompressed entry"):
        audio_of(tmp_path, "audio.zip:0:100")
    with pytest.raises(AudioError, match=r"audio_undecodable: audio\.zip:40:60 is no audio"):
        audio_of(tmp_path, "audio.zip:40:60")
    with pytest.raises(AudioError, match=r"audio_ends_early: .*ends at byte 99999999"):
        audio_of(tmp_path, "audio.zip:0:99999999")
    with pytest.raises(AudioError, match="audio_empty_file"):
        audio_of(tmp_path, "audio.zip:0:0")
    with pytest.raises(AudioError, match="audio_missing"):
        audio_of(tmp_path, "other.zip:0:10")


def test_undecodable_audio_is_described_the_same_in_every_run(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"noise" * 100)
    details = set()
    for _ in range(2):
        with pytest.raises(AudioError) as raised:
            audio_of(tmp_path, "a.zip:0:100")
        details.add(raised.value.detail)
    assert len(details) == 1
    assert "0x" not in details.pop()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a\ta.wav\tmany\tgut\tme", "malformed_line"),
        ("a\ta.wav\t-1\tgut\tme", "malformed_line"),
        ("a\ta.wav\t1\tgut", "malformed_line"),
        ("a\ta.wav\t1\tgut\tme\t", "malformed_line"),
        ("a\ta.zip:1\t1\tgut\tme", "invalid_segment"),
        ("a\ta.zip:x:2\t1\tgut\tme", "invalid_segment"),
        ("a\ta.zip:1:" + "9" * 5000 + "\t1\tgut\tme", "invalid_segment"),
        ("a\ta.wav:0:0\t1\tgut\tme", "invalid_segment"),
        ("a\t../a.zip:0:9\t1\tgut\tme", "audio_outside_root"),
        ("a\t\t1\tgut\tme", "invalid_audio_path"),
        ("\ta.wav\t1\tgut\tme", "invalid_id"),
        ("a\ta.wav\t1\t\x00\tme", "empty_reference"),
    ],
)
def test_bad_line_is_rejected_with_its_place_and_harms_no_other(
    tmp_path: Path, line: str, reason: str
) -> None:
    bad, good = read(tmp_path, line, "good\ta.wav\t1\tgut\tme")
    assert isinstance(bad, Rejection)
    assert (bad.reason, bad.where) == (reason, "dev.tsv:2")
    assert isinstance(good, Utterance)


def test_manifest_is_found_by_its_usual_names_or_the_configured_one(tmp_path: Path) -> None:
    line = f"{HEADER}\na\ta.wav\t1\t%s\tme\n"
    for name in ("dev.tsv", "dev_st_en_de.tsv", "dev_st.tsv", "my.dev.tsv"):
        (tmp_path / name).write_text(line % name)
        manifest = "my.{split}.tsv" if name == "my.dev.tsv" else None
        (found,) = open_corpus(config_of(tmp_path, manifest=manifest), "dev")
        assert isinstance(found, Utterance)
        assert found.tgt_text == name


def test_manifest_of_no_split_or_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("id\taudio\ttext\n")
    with pytest.raises(CorpusError, match=r"lacks the columns \['n_frames', 'tgt_text'\].*'text'"):
        open_corpus(config_of(tmp_path), "dev")
    with pytest.raises(CorpusError, match=r"'dev\.tsv' would be every split"):
        open_corpus(config_of(tmp_path, manifest="dev.tsv"), "dev")


CELL = st.one_of(
    st.sampled_from(["1", "a.wav", "a.zip:0:5", "a.zip:9:", "a.wav:1:2", "../a.zip:0:1", "gut", ""]),
    st.text(st.characters(codec="utf-8"), max_size=6),
).map(str.encode)
LINE = st.one_of(st.binary(max_size=40), st.lists(CELL, min_size=4, max_size=6).map(b"\t".join)).filter(
    lambda raw: b"\n" not in raw
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(st.lists(LINE, max_size=6))
def test_damaged_manifest_never_crashes_and_every_line_is_accounted_for(
    tmp_path: Path, lines: list[bytes]
) -> None:
    results = read(tmp_path, *lines)
    assert len(results) == len(lines)
    corpus = open_corpus(config_of(tmp_path), "dev")
    for result in results:
        if isinstance(result, Utterance):
            with pytest.raises(AudioError):
                corpus.load_audio(result)
