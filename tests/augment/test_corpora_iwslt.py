"""IWSLT and MuST-C as they are found on disk: where a split may lie, YAML styles, alignment, segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.audio import AudioError, read_segment
from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.schema import AudioRef, Rejection, Utterance
from tests.support.corpora import sentence, write_audio, write_iwslt

GOOD = "- {duration: 1.0, offset: 0.5, rW: 5, speaker_id: spk.1, wav: talk.wav}"


def config_of(root: Path, **changes: str) -> CorpusConfig:
    fields = {"name": "mc", "layout": "iwslt", "root": str(root), "src_lang": "en", "tgt_lang": "de"}
    return CorpusConfig.model_validate(fields | changes)


def read(root: Path, segments: str | bytes, target: str | bytes) -> list[Utterance | Rejection]:
    txt = root / "train" / "txt"
    txt.mkdir(parents=True, exist_ok=True)
    (txt / "train.yaml").write_bytes(segments if isinstance(segments, bytes) else segments.encode())
    (txt / "train.de").write_bytes(target if isinstance(target, bytes) else target.encode())
    return list(open_corpus(config_of(root), "train"))


def reasons(results: list[Utterance | Rejection]) -> list[str]:
    return [r.reason if isinstance(r, Rejection) else "read" for r in results]


def test_segments_become_utterances_that_are_read_by_seeking(tmp_path: Path) -> None:
    corpus = open_corpus(write_iwslt(tmp_path, recordings=2, segments=2), "train")
    utterances = [entry for entry in corpus if isinstance(entry, Utterance)]
    assert [u.id for u in utterances] == ["talk_0_0", "talk_0_1", "talk_1_0", "talk_1_1"]
    third = utterances[2]
    assert third.audio == AudioRef(path="train/wav/talk_1.wav", offset_s=0.25, duration_s=1.5)
    assert (third.src_text, third.tgt_text, third.speaker) == (sentence("en", 2), sentence("de", 2), "spk.1")
    whole = read_segment(tmp_path / "train/wav/talk_1.wav", AudioRef(path="talk_1.wav"))
    np.testing.assert_array_equal(corpus.load_audio(third), whole[4_000:28_000])


@pytest.mark.parametrize("place", ["", "data", "en-de", "en-de/data"])
def test_split_is_found_where_the_releases_put_it(tmp_path: Path, place: str) -> None:
    write_iwslt(tmp_path / place, recordings=1, segments=1)
    corpus = open_corpus(config_of(tmp_path), "train")
    (utterance,) = corpus
    assert isinstance(utterance, Utterance)
    assert utterance.audio.path == (f"{place}/" if place else "") + "train/wav/talk_0.wav"
    assert len(corpus.load_audio(utterance)) == 24_000


def test_missing_source_text_leaves_the_source_unknown(tmp_path: Path) -> None:
    config = write_iwslt(tmp_path)
    (tmp_path / "train/txt/train.en").unlink()
    results = list(open_corpus(config, "train"))
    assert len(results) == 6
    assert all(isinstance(r, Utterance) and r.src_text is None for r in results)


def test_missing_target_text_names_the_file_and_what_is_there(tmp_path: Path) -> None:
    write_iwslt(tmp_path)
    with pytest.raises(CorpusError, match=r"lacks train\.fr.*'train\.de'"):
        open_corpus(config_of(tmp_path, tgt_lang="fr"), "train")


def test_absent_split_says_what_was_looked_for_and_what_was_found(tmp_path: Path) -> None:
    write_iwslt(tmp_path)
    with pytest.raises(CorpusError, match=r"dev/txt/dev\.yaml.*found \['train/txt/train\.yaml'\]"):
        open_corpus(config_of(tmp_path), "dev")


@pytest.mark.parametrize("which", ["train.de", "train.en"])
def test_misaligned_text_is_refused_before_any_work_with_both_counts(tmp_path: Path, which: str) -> None:
    config = write_iwslt(tmp_path)
    with (tmp_path / "train/txt" / which).open("a") as text:
        text.write("one too many\n")
    with pytest.raises(CorpusError, match=rf"lists 6 segments, .*{which} has 7 lines"):
        open_corpus(config, "train")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("- {duration: 1.0, offset: -0.5, wav: talk.wav}", "invalid_segment"),
        ("- {duration: .nan, offset: 0.5, wav: talk.wav}", "invalid_segment"),
        ("- {duration: nan, offset: 0.5, wav: talk.wav}", "invalid_segment"),
        ("- {duration: 0.0, offset: 0.5, wav: talk.wav}", "invalid_segment"),
        ("- {duration: 1.0, offset: inf, wav: talk.wav}", "invalid_segment"),
        ("- {duration: 1e300, offset: 0.5, wav: talk.wav}", "invalid_segment"),
        ("- {duration: 1.0, offset: '1:20', wav: talk.wav}", "invalid_segment"),
        ("- {duration: 1.0, offset: 0.5, wav: ../../../secret.wav}", "audio_outside_root"),
        ("- {duration: 1.0, offset: 0.5, wav: /etc/passwd}", "audio_outside_root"),
        ("- {duration: 1.0, offset: 0.5}", "missing_field"),
        ("- {duration: 1.0, offset: 0.5, wav: [a, b]}", "missing_field"),
        ("- just words", "malformed_line"),
        ("- {duration: 1.0, offset: 0.5, wav: 'talk}", "malformed_line"),
        ("-", "malformed_line"),
        ("- " + "[" * 200_000, "malformed_line"),
    ],
)
def test_bad_segment_is_rejected_with_its_line_and_harms_no_other(
    tmp_path: Path, entry: str, reason: str
) -> None:
    results = read(tmp_path, f"{entry}\n{GOOD}\n", "schlecht\ngut\n")
    bad, good = results
    assert isinstance(bad, Rejection)
    assert (bad.reason, bad.where) == (reason, "train.yaml:1")
    assert isinstance(good, Utterance)
    assert good.tgt_text == "gut"


def test_rejected_segments_keep_the_numbers_of_the_later_ones(tmp_path: Path) -> None:
    results = read(tmp_path, f"{GOOD}\n{GOOD}\n{GOOD}\n", "eins\n\ndrei\n")
    assert [r.id for r in results] == ["talk_0", "talk_1", "talk_2"]
    assert reasons(results) == ["read", "empty_reference", "read"]


def test_every_yaml_style_reads_the_same(tmp_path: Path) -> None:
    segments = [
        {
            "duration": 1.5,
            "offset": 0.25 * k,
            "rW": 5,
            "uW": 0,
            "speaker_id": "spk.1",
            "wav": f"ted: {k % 2}.wav",
        }
        for k in range(4)
    ]
    styles = [
        yaml.dump(segments, default_flow_style=None),  # wraps long entries over two lines
        yaml.dump(segments, default_flow_style=False),
        "%YAML 1.1\n---\n# a comment\n" + yaml.dump(segments, default_flow_style=None, width=1000),
        "".join(f"  {line}\n" for line in yaml.dump(segments, default_flow_style=False).splitlines()),
        yaml.dump(segments, default_flow_style=None, width=1000).replace("\n", "\r\n"),
        "\ufeff" + yaml.dump(segments, default_flow_style=None, width=1000),
    ]
    text = "eins\nzwei\ndrei\nvier\n"
    as_read = [
        [
            (u.id, u.audio, u.speaker, u.tgt_text)
            for u in read(tmp_path, style, text)
            if isinstance(u, Utterance)
        ]
        for style in styles
    ]
    assert len(as_read[0]) == 4
    assert as_read[0][3][1] == AudioRef(path="train/wav/ted: 1.wav", offset_s=0.75, duration_s=1.5)
    assert all(other == as_read[0] for other in as_read)


def test_yaml_that_is_no_list_of_entries_is_refused_with_the_counts(tmp_path: Path) -> None:
    flow = "[" + "{duration: 1.0, offset: 0.5, wav: talk.wav},\n" * 20_000 + "]"
    with pytest.raises(CorpusError, match=r"lists 1 segments, .* has 2 lines.*begins with '- '"):
        read(tmp_path, flow, "eins\nzwei\n")


def test_text_that_is_not_utf8_rejects_its_segment_only(tmp_path: Path) -> None:
    assert reasons(read(tmp_path, f"{GOOD}\n{GOOD}\n", b"\xff\xfe\ngut\n")) == ["undecodable_utf8", "read"]


def test_text_with_line_separators_stays_one_line(tmp_path: Path) -> None:
    (result,) = read(tmp_path, GOOD, "eins\u2028zwei\x0bdrei\x85vier\r\n")
    assert isinstance(result, Utterance)
    assert result.tgt_text == "eins zwei drei vier"


def test_offset_past_the_end_is_found_when_the_segment_is_used(tmp_path: Path) -> None:
    write_audio(tmp_path / "train/wav/talk.wav", 0.4)
    (utterance,) = read(tmp_path, GOOD, "gut\n")
    assert isinstance(utterance, Utterance)
    with pytest.raises(AudioError, match="audio_offset_past_end"):
        open_corpus(config_of(tmp_path), "train").load_audio(utterance)


LINE = st.one_of(
    st.binary(max_size=50).filter(lambda raw: b"\n" not in raw),
    st.sampled_from(
        [GOOD.encode(), b"- {", b"- &a [*a]", b"- !!python/object:os.system {}", b"---", b"# x", b"  b: 1"]
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(LINE, max_size=8))
def test_damaged_yaml_is_refused_or_accounted_for_and_never_crashes(
    tmp_path: Path, lines: list[bytes]
) -> None:
    segments = b"\n".join(lines)
    for count in range(len(lines) + 1):
        try:
            results = read(tmp_path, segments, "text\n" * count)
        except CorpusError:
            continue
        assert len(results) == count
        return
    raise AssertionError("no number of text lines fits the segments")
