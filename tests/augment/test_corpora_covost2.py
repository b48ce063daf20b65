"""CoVoST 2 as it is found on disk: three kinds of TSV, and every way a line of it can be wrong."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.audio import AudioError
from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.schema import Rejection, Utterance
from tests.support.corpora import sentence, write_audio, write_covost2

HEADER = "path\tsentence\ttranslation\tclient_id"


def config_of(root: Path, **changes: str) -> CorpusConfig:
    fields = {"name": "cv", "layout": "covost2", "root": str(root), "src_lang": "en", "tgt_lang": "de"}
    return CorpusConfig.model_validate(fields | changes)


def read(root: Path, lines: list[str] | bytes, split: str = "train") -> list[Utterance | Rejection]:
    data = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in [HEADER, *lines]).encode()
    (root / f"covost_v2.en_de.{split}.tsv").write_bytes(data)
    return list(open_corpus(config_of(root), split))


def only(results: list[Utterance | Rejection]) -> Rejection:
    assert len(results) == 1
    assert isinstance(results[0], Rejection)
    assert results[0].stage == "read"
    return results[0]


def test_every_line_becomes_an_utterance_with_its_audio(tmp_path: Path) -> None:
    corpus = open_corpus(write_covost2(tmp_path, 3, suffix=".mp3", rate_hz=48_000), "train")
    utterances = [entry for entry in corpus if isinstance(entry, Utterance)]
    assert [u.id for u in utterances] == ["train_000", "train_001", "train_002"]
    first = utterances[0]
    assert (first.corpus, first.split, first.license) == ("toy", "train", "cc0-1.0")
    assert (first.src_text, first.tgt_text) == (sentence("en", 0), sentence("de", 0))
    assert (first.audio.path, first.speaker) == ("clips/train_000.mp3", "speaker0")
    assert abs(len(corpus.load_audio(first)) - round(1.2 * 16_000)) < 2_000


@pytest.mark.parametrize("escape", ["../../etc/passwd", "/etc/passwd", "a/../../x.mp3", ".."])
def test_clip_path_that_leaves_the_clips_is_rejected_with_its_line(tmp_path: Path, escape: str) -> None:
    rejection = only(read(tmp_path, [f"{escape}\thi\thallo\tme"]))
    assert rejection.reason == "audio_outside_root"
    assert rejection.where == "covost_v2.en_de.train.tsv:2"
    assert escape in rejection.detail


@pytest.mark.parametrize("path", ["", "a\x00b.mp3", "a\x1b[31m.mp3"])
def test_empty_or_unprintable_clip_path_is_rejected(tmp_path: Path, path: str) -> None:
    assert only(read(tmp_path, [f"{path}\thi\thallo\tme"])).reason == "invalid_audio_path"


@pytest.mark.parametrize("reference", ["", "   ", "\x00\x07", "\u2028"])
def test_empty_reference_is_rejected_with_its_line(tmp_path: Path, reference: str) -> None:
    rejection = only(read(tmp_path, [f"a.mp3\thi\t{reference}\tme"]))
    assert (rejection.id, rejection.reason) == ("a", "empty_reference")


@pytest.mark.parametrize("line", ["a.mp3\thi", "a.mp3\thi\twith\ttab\tme", ""])
def test_line_of_another_width_is_malformed_with_both_counts(tmp_path: Path, line: str) -> None:
    rejection = only(read(tmp_path, [line]))
    assert rejection.reason == "malformed_line"
    assert rejection.id == "covost_v2.en_de.train.tsv:2"
    assert "4 tab-separated columns" in rejection.detail
    assert f"this one {line.count(chr(9)) + 1}" in rejection.detail


def test_second_line_with_an_id_is_a_duplicate_and_a_rejected_line_leaves_its_id_free(tmp_path: Path) -> None:
    results = read(tmp_path, ["a.mp3\t\t\tme", "a.mp3\t\teins\tme", "a.wav\t\tzwei\tme"])
    assert [getattr(r, "reason", "read") for r in results] == ["empty_reference", "read", "duplicate_id"]


def test_quotes_are_plain_characters(tmp_path: Path) -> None:
    results = read(tmp_path, ['a.mp3\t"hi\t"Hallo" sagt er\tme', 'b.mp3\tx\t"\tme'])
    assert [r.tgt_text for r in results if isinstance(r, Utterance)] == ['"Hallo" sagt er', '"']


def test_bom_and_crlf_are_not_part_of_any_field(tmp_path: Path) -> None:
    data = f"\ufeff{HEADER}\r\na.mp3\thi\thallo\tme\r\nb.mp3\thi\thallo\tme".encode()
    results = read(tmp_path, data)
    assert [r.speaker for r in results if isinstance(r, Utterance)] == ["me", "me"]


def test_control_characters_become_one_space_and_the_rest_is_untouched(tmp_path: Path) -> None:
    (result,) = read(tmp_path, ["a.mp3\t\x0b\tein\x00\x07e  Straße\x85ﬁn\u2029e\u0301 \tme"])
    assert isinstance(result, Utterance)
    assert result.tgt_text == "ein e  Straße ﬁn e\u0301"
    assert result.src_text is None


def test_bytes_that_are_not_utf8_reject_their_line_only(tmp_path: Path) -> None:
    results = read(tmp_path, HEADER.encode() + b"\na.mp3\thi\thal\xfflo\tme\nb.mp3\thi\thallo\tme\n")
    assert [getattr(r, "reason", "read") for r in results] == ["undecodable_utf8", "read"]


def test_tsv_with_a_split_column_gives_the_asked_split(tmp_path: Path) -> None:
    lines = [
        "path\ttranslation\tsplit",
        "a.mp3\teins\ttrain",
        "b.mp3\tzwei\ttest",
        "broken",
        "c.mp3\tdrei\ttrain",
    ]
    (tmp_path / "covost_v2.en_de.tsv").write_text("\n".join(lines))
    results = list(open_corpus(config_of(tmp_path), "train"))
    assert [getattr(r, "tgt_text", getattr(r, "reason", "")) for r in results] == [
        "eins",
        "malformed_line",
        "drei",
    ]
    assert all(r.src_text is None for r in results if isinstance(r, Utterance))
    with pytest.raises(CorpusError, match=r"no line of split 'dev'.*\['test', 'train'\]"):
        open_corpus(config_of(tmp_path), "dev")


def test_line_of_another_split_in_a_splits_own_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("path\ttranslation\tsplit\na.mp3\teins\ttrain\nb.mp3\tzwei\ttest\n")
    results = list(open_corpus(config_of(tmp_path), "train"))
    assert [getattr(r, "reason", "read") for r in results] == ["read", "wrong_split"]


def test_plain_split_tsv_is_read_and_the_pairs_own_file_wins_over_it(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("translation\tpath\nplain\ta.mp3\n")
    (plain,) = open_corpus(config_of(tmp_path), "train")
    assert isinstance(plain, Utterance)
    assert plain.tgt_text == "plain"
    (own,) = read(tmp_path, ["b.mp3\thi\tpair\tme"])
    assert isinstance(own, Utterance)
    assert own.tgt_text == "pair"


def test_region_codes_are_part_of_the_files_name(tmp_path: Path) -> None:
    (corpus,) = open_corpus(write_covost2(tmp_path, 1, src="en", tgt="zh-CN"), "train")
    assert isinstance(corpus, Utterance)
    assert corpus.tgt_lang == "zh-CN"


def test_common_voices_own_tsv_is_refused_by_its_columns(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("client_id\tpath\tsentence\nme\ta.mp3\thi\n")
    with pytest.raises(CorpusError, match=r"lacks the columns \['translation'\].*client_id"):
        open_corpus(config_of(tmp_path), "train")


def test_wrong_language_pair_says_what_was_looked_for_and_what_was_found(tmp_path: Path) -> None:
    write_covost2(tmp_path, 1)
    with pytest.raises(
        CorpusError, match=r"covost_v2\.fr_de\.train\.tsv.*found.*covost_v2\.en_de\.train\.tsv"
    ):
        open_corpus(config_of(tmp_path, src_lang="fr"), "train")


def test_missing_clip_is_found_when_it_is_used(tmp_path: Path) -> None:
    corpus = open_corpus(write_covost2(tmp_path, 2), "train")
    (tmp_path / "clips" / "train_000.wav").unlink()
    missing, present = (entry for entry in corpus if isinstance(entry, Utterance))
    with pytest.raises(AudioError, match="audio_missing"):
        corpus.load_audio(missing)
    assert len(corpus.load_audio(present)) == 32_000


def test_clips_may_be_a_link_but_a_clip_may_not_lead_out_of_them(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "common_voice", tmp_path / "covost"
    write_audio(elsewhere / "clips" / "a.wav", 1.0)
    write_audio(tmp_path / "secret.wav", 1.0)
    (elsewhere / "clips" / "b.wav").symlink_to(tmp_path / "secret.wav")
    root.mkdir()
    (root / "clips").symlink_to(elsewhere / "clips")
    inside, outside = (
        r for r in read(root, ["a.wav\t\tx\tme", "b.wav\t\tx\tme"]) if isinstance(r, Utterance)
    )
    corpus = open_corpus(config_of(root), "train")
    assert len(corpus.load_audio(inside)) == 16_000
    with pytest.raises(AudioError, match="audio_outside_root"):
        corpus.load_audio(outside)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=60).filter(lambda raw: b"\n" not in raw), max_size=8), st.booleans())
def test_damaged_file_never_crashes_and_every_line_is_accounted_for(
    tmp_path: Path, lines: list[bytes], unfinished: bool
) -> None:
    body = b"\n".join([HEADER.encode(), *lines]) + (b"" if unfinished and (not lines or lines[-1]) else b"\n")
    assert len(read(tmp_path, body)) == len(lines)


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\n\t"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=6))
def test_what_is_read_is_clean_unique_and_inside(
    tmp_path: Path, rows: list[tuple[str, str, str, str]]
) -> None:
    results = read(tmp_path, ["\t".join(row) for row in rows])
    accepted = [r for r in results if isinstance(r, Utterance)]
    assert len(results) == len(rows)
    assert len({u.id for u in accepted}) == len(accepted)
    for u in accepted:
        assert u.tgt_text.strip()
        assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in u.tgt_text)
        assert u.audio.path.startswith("clips/")
        assert ".." not in u.audio.path.split("/")
