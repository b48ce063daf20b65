"""Europarl-ST as it is found on disk: begin and end, speeches in several formats, speakers, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.audio import AudioError, read_segment
from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.schema import AudioRef, Rejection, Utterance
from tests.support.corpora import sentence, write_audio, write_europarl_st

GOOD = "en.20080925.1.3-189 0.00 1.00"


def config_of(root: Path, **changes: str) -> CorpusConfig:
    fields = {"name": "ep", "layout": "europarl_st", "root": str(root), "src_lang": "en", "tgt_lang": "de"}
    return CorpusConfig.model_validate(fields | changes)


def read(root: Path, segments: bytes, target: bytes) -> list[Utterance | Rejection]:
    base = root / "en/de/train"
    base.mkdir(parents=True, exist_ok=True)
    (base / "segments.lst").write_bytes(segments)
    (base / "segments.de").write_bytes(target)
    return list(open_corpus(config_of(root), "train"))


def utterances(config: CorpusConfig) -> list[Utterance]:
    return [entry for entry in open_corpus(config, "train") if isinstance(entry, Utterance)]


def test_begin_and_end_become_a_segment_that_is_read_by_seeking(tmp_path: Path) -> None:
    config = write_europarl_st(tmp_path)
    found = utterances(config)
    speech = "en.20080925.1.3-189"
    assert [u.id for u in found][2:] == [f"{speech}_0", f"{speech}_1"]
    last = found[3]
    assert last.audio == AudioRef(path=f"en/audios/{speech}", offset_s=1.5, duration_s=1.5)
    assert (last.src_text, last.tgt_text, last.speaker) == (sentence("en", 3), sentence("de", 3), "MEP_1")
    whole = read_segment(tmp_path / "en/audios" / f"{speech}.wav", AudioRef(path="x.wav"))
    np.testing.assert_array_equal(open_corpus(config, "train").load_audio(last), whole[24_000:])


def test_release_may_lie_in_its_version_folder(tmp_path: Path) -> None:
    write_europarl_st(tmp_path / "v1.1")
    (first, *_) = utterances(config_of(tmp_path))
    assert first.audio.path == "v1.1/en/audios/en.20080925.0.3-189"


def test_converted_speech_wins_over_the_m4a_and_without_a_decoder_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augment.m4a.find_spec", lambda name: None)
    config = write_europarl_st(tmp_path, segments=1)
    audios = tmp_path / "en/audios"
    (audios / "en.20080925.0.3-189.m4a").write_bytes(b"m4a")
    (audios / "en.20080925.1.3-189.wav").unlink()
    (audios / "en.20080925.1.3-189.m4a").write_bytes(b"\0\0\0\x1cftypM4A ")
    corpus = open_corpus(config, "train")
    converted, unconverted = utterances(config)
    assert len(corpus.load_audio(converted)) == 24_000
    with pytest.raises(
        AudioError, match=r"audio_undecodable: .*189\.m4a.*pip install 'simulsa\[m4a\]', or convert"
    ):
        corpus.load_audio(unconverted)


def test_speech_that_links_out_of_the_audios_is_refused(tmp_path: Path) -> None:
    config = write_europarl_st(tmp_path / "corpus", speeches=1)
    write_audio(tmp_path / "secret.wav", 9.0)
    wav = tmp_path / "corpus/en/audios/en.20080925.0.3-189.wav"
    wav.unlink()
    wav.symlink_to(tmp_path / "secret.wav")
    with pytest.raises(AudioError, match="audio_outside_root"):
        open_corpus(config, "train").load_audio(utterances(config)[0])


def test_speakers_are_unknown_when_their_list_does_not_fit_the_speeches(tmp_path: Path) -> None:
    config = write_europarl_st(tmp_path)
    with (tmp_path / "en/de/train/speakers.lst").open("a") as speakers:
        speakers.write("one too many\n")
    assert {u.speaker for u in utterances(config)} == {None}


def test_misaligned_text_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"lists 2 segments, .*segments\.de has 1 lines"):
        read(tmp_path, f"{GOOD}\n{GOOD}\n".encode(), b"eins\n")


def test_missing_translations_name_the_file_and_what_is_there(tmp_path: Path) -> None:
    write_europarl_st(tmp_path)
    (tmp_path / "en/fr/train").mkdir(parents=True)
    (tmp_path / "en/fr/train/segments.lst").touch()
    with pytest.raises(CorpusError, match=r"lacks segments\.fr.*\['segments\.lst'\]"):
        open_corpus(config_of(tmp_path, tgt_lang="fr"), "train")


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("speech 0.0", "malformed_line"),
        ("speech 0.0 1.0 2.0", "malformed_line"),
        ("", "malformed_line"),
        ("speech null eins", "invalid_segment"),
        ("speech 2.0 1.0", "invalid_segment"),
        ("speech -1.0 1.0", "invalid_segment"),
        ("speech 0.0 inf", "invalid_segment"),
        ("../../secret 0.0 1.0", "audio_outside_root"),
        ("/etc/passwd 0.0 1.0", "audio_outside_root"),
        ("spe\x00ech 0.0 1.0", "invalid_audio_path"),
    ],
)
def test_bad_segment_is_rejected_with_its_line_and_harms_no_other(
    tmp_path: Path, segment: str, reason: str
) -> None:
    bad, good = read(tmp_path, f"{segment}\n{GOOD}\n".encode(), b"schlecht\ngut\n")
    assert isinstance(bad, Rejection)
    assert (bad.reason, bad.where) == (reason, "segments.lst:1")
    assert isinstance(good, Utterance)
    assert good.tgt_text == "gut"


LINE = st.one_of(
    st.binary(max_size=40).filter(lambda raw: b"\n" not in raw),
    st.tuples(st.text(max_size=8), st.floats(), st.floats()).map(lambda t: " ".join(map(str, t)).encode()),
).filter(lambda raw: b"\n" not in raw)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(st.lists(st.tuples(LINE, LINE), max_size=6))
def test_damaged_list_never_crashes_and_every_line_is_accounted_for(
    tmp_path: Path, pairs: list[tuple[bytes, bytes]]
) -> None:
    segments = b"".join(segment + b"\n" for segment, _ in pairs)
    target = b"".join(text + b"\n" for _, text in pairs)
    results = read(tmp_path, segments, target)
    assert len(results) == len(pairs)
    assert all(".." not in r.audio.path.split("/") for r in results if isinstance(r, Utterance))
