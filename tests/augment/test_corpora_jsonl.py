"""The JSONL manifest: fields, splits, and every way a line of it can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.schema import AudioRef, Rejection, Utterance
from tests.support.corpora import sentence, write_audio, write_jsonl

GOOD = {"id": "a", "audio": "a.wav", "tgt_text": "hallo"}


def config_of(root: Path, **changes: str) -> CorpusConfig:
    fields = {"name": "own", "layout": "jsonl", "root": str(root), "src_lang": "en", "tgt_lang": "de"}
    return CorpusConfig.model_validate(fields | changes)


def read(root: Path, *records: object, name: str = "train.jsonl") -> list[Utterance | Rejection]:
    lines = (r if isinstance(r, bytes) else json.dumps(r).encode() for r in records)
    (root / name).write_bytes(b"".join(line + b"\n" for line in lines))
    return list(open_corpus(config_of(root), "train"))


def test_every_line_becomes_an_utterance_with_its_audio(tmp_path: Path) -> None:
    corpus = open_corpus(write_jsonl(tmp_path, 2), "train")
    first, second = (entry for entry in corpus if isinstance(entry, Utterance))
    assert (first.id, first.src_text, first.tgt_text) == ("train-0", sentence("en", 0), sentence("de", 0))
    assert len(corpus.load_audio(second)) == 32_000


def test_fields_of_a_line_override_the_configuration(tmp_path: Path) -> None:
    extra = {
        "offset_s": 1,
        "duration_s": 2.5,
        "src_lang": "fr",
        "tgt_lang": "it",
        "speaker": "s",
        "license": "mit",
    }
    (u,) = read(tmp_path, GOOD | extra | {"unknown": [1]})
    assert isinstance(u, Utterance)
    assert u.audio == AudioRef(path="a.wav", offset_s=1.0, duration_s=2.5)
    assert (u.src_lang, u.tgt_lang, u.speaker, u.license) == ("fr", "it", "s", "mit")


def test_line_without_an_id_is_called_by_its_audio_and_offset(tmp_path: Path) -> None:
    record = {"audio": "talks/a.wav", "tgt_text": "x"}
    results = read(tmp_path, record, record | {"offset_s": 1.25}, record | {"id": 7})
    assert [r.id for r in results] == ["talks/a", "talks/a_1250", "7"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "malformed_line"),
        (b"", "malformed_line"),
        (b"[1]", "malformed_line"),
        (b"[" * 100_000, "malformed_line"),
        (b"\xff{}", "undecodable_utf8"),
        ({"audio": "a.wav"}, "missing_field"),
        ({"tgt_text": "x"}, "missing_field"),
        (GOOD | {"audio": None}, "missing_field"),
        (GOOD | {"audio": 3}, "malformed_line"),
        (GOOD | {"id": 1.5}, "malformed_line"),
        (GOOD | {"offset_s": "1"}, "malformed_line"),
        (GOOD | {"duration_s": True}, "malformed_line"),
        (GOOD | {"speaker": 3}, "malformed_line"),
        (GOOD | {"offset_s": -1e-9}, "invalid_segment"),
        (GOOD | {"offset_s": float("inf")}, "invalid_segment"),
        (GOOD | {"duration_s": float("nan")}, "invalid_segment"),
        (GOOD | {"duration_s": 10**400}, "invalid_segment"),
        (GOOD | {"tgt_text": "\ud800\n"}, "empty_reference"),
        (GOOD | {"audio": "../a.wav"}, "audio_outside_root"),
        (GOOD | {"audio": "/a.wav"}, "audio_outside_root"),
        (GOOD | {"audio": ""}, "invalid_audio_path"),
        (GOOD | {"id": ""}, "invalid_id"),
        (GOOD | {"id": "../../x"}, "invalid_id"),
        (GOOD | {"id": "a\nb"}, "invalid_id"),
        (GOOD | {"id": "x" * 201}, "invalid_id"),
        (GOOD | {"split": "test"}, "wrong_split"),
    ],
)
def test_bad_line_is_rejected_with_its_place_and_harms_no_other(
    tmp_path: Path, line: object, reason: str
) -> None:
    bad, good = read(tmp_path, line, GOOD | {"id": "good"})
    assert isinstance(bad, Rejection)
    assert (bad.stage, bad.reason, bad.where) == ("read", reason, "train.jsonl:1")
    assert isinstance(good, Utterance)


def test_text_of_several_lines_becomes_one_and_lone_surrogates_vanish(tmp_path: Path) -> None:
    (u,) = read(tmp_path, GOOD | {"tgt_text": "eins\r\nzwei\ud83d drei", "speaker": "\ud800"})
    assert isinstance(u, Utterance)
    assert u.tgt_text == "eins zwei  drei"
    assert u.speaker is None


def test_manifest_of_all_splits_gives_the_asked_one_and_unnamed_lines_are_training(tmp_path: Path) -> None:
    lines = [GOOD | {"id": "1"}, GOOD | {"id": "2", "split": "dev"}, GOOD | {"id": "3", "split": "train"}]
    assert [r.id for r in read(tmp_path, *lines, name="manifest.jsonl")] == ["1", "3"]
    assert [r.id for r in open_corpus(config_of(tmp_path), "dev")] == ["2"]
    with pytest.raises(CorpusError, match=r"no line of split 'test'.*\['dev', 'train'\]"):
        open_corpus(config_of(tmp_path), "test")


def test_root_may_be_the_manifest_itself(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 1.0)
    read(tmp_path, GOOD, name="manifest.jsonl")
    corpus = open_corpus(config_of(tmp_path / "manifest.jsonl"), "train")
    (utterance,) = corpus
    assert isinstance(utterance, Utterance)
    assert len(corpus.load_audio(utterance)) == 16_000


def test_audio_is_relative_to_the_manifests_folder_and_may_climb_no_further_than_root(tmp_path: Path) -> None:
    write_audio(tmp_path / "audio" / "a.wav", 1.0)
    (tmp_path / "lists").mkdir()
    lines = [GOOD | {"audio": "../audio/a.wav"}, GOOD | {"audio": "../../a.wav"}]
    (tmp_path / "lists" / "my-train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    corpus = open_corpus(config_of(tmp_path, manifest="lists/my-{split}.jsonl"), "train")
    inside, outside = corpus
    assert isinstance(inside, Utterance)
    assert inside.audio.path == "audio/a.wav"
    assert len(corpus.load_audio(inside)) == 16_000
    assert isinstance(outside, Rejection)
    assert outside.reason == "audio_outside_root"


def test_folder_without_a_manifest_says_what_was_looked_for_and_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "trian.jsonl").touch()
    with pytest.raises(CorpusError, match=r"train\.jsonl or manifest\.jsonl; found \['trian\.jsonl'\]"):
        open_corpus(config_of(tmp_path), "train")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ["id", "audio", "tgt_text", "src_text", "offset_s", "duration_s", "speaker", "split", "tgt_lang"]
RECORD = st.dictionaries(st.sampled_from(FIELDS), JSON).map(lambda record: GOOD | record)
LINE = st.one_of(st.binary(max_size=40).filter(lambda raw: b"\n" not in raw), JSON, RECORD)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(LINE, max_size=6))
def test_damaged_manifest_never_crashes_and_every_line_is_accounted_for(
    tmp_path: Path, lines: list[object]
) -> None:
    results = read(tmp_path, *lines)
    assert len(results) == len(lines)
    for result in results:
        json.dumps(result.id).encode()
        assert result.id
        result.id.encode("utf-8")
        if isinstance(result, Utterance):
            result.tgt_text.encode("utf-8")
        else:
            result.detail.encode("utf-8")
