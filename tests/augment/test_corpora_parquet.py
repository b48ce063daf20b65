"""Parquet with an Audio column as it is found on disk: shards, splits, mapped columns, random access, damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.audio import AudioError
from augment.corpora import CorpusConfig, CorpusError, open_corpus
from augment.schema import Rejection, Utterance
from tests.support.corpora import audio_row, encoded, sentence, tone, write_audio, write_parquet

COLUMNS = {"tgt_text": "translation", "src_text": "sentence"}


def config_of(root: Path, **changes: object) -> CorpusConfig:
    fields = {"name": "pq", "layout": "parquet", "root": str(root), "src_lang": "en", "tgt_lang": "de"}
    return CorpusConfig.model_validate({**fields, "columns": COLUMNS, **changes})


def write(path: Path, rows: list[dict[str, Any]], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)


def read(root: Path, *rows: dict[str, Any], **changes: object) -> list[Utterance | Rejection]:
    write(root / "train.parquet", list(rows))
    return list(open_corpus(config_of(root, **changes), "train"))


def reasons(results: list[Utterance | Rejection]) -> list[str]:
    return [r.reason if isinstance(r, Rejection) else "read" for r in results]


def test_rows_of_all_shards_are_read_and_their_audio_found_by_random_access(tmp_path: Path) -> None:
    corpus = open_corpus(write_parquet(tmp_path, 70, shards=2, rows_per_group=20), "train")
    found = [entry for entry in corpus if isinstance(entry, Utterance)]
    assert [u.id for u in found] == [f"train_{k}" for k in [*range(0, 70, 2), *range(1, 70, 2)]]
    last = found[-1]
    assert last.audio.path == "data/train-00001-of-00002.parquet:1:14"
    assert (last.src_text, last.tgt_text, last.speaker) == (
        sentence("en", 69),
        sentence("de", 69),
        "speaker1",
    )
    for utterance in (last, found[17], found[0]):
        seed = int(utterance.id.removeprefix("train_"))
        np.testing.assert_allclose(corpus.load_audio(utterance), tone(1.5, seed=seed), atol=1e-4)
    assert corpus.audio_path(last) == tmp_path / "data/train-00001-of-00002.parquet"


def test_texts_are_read_without_the_audio_but_for_one_look_at_each_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = open_corpus(write_parquet(tmp_path, 200), "train")
    read_rows: Counter[str] = Counter()
    original = pq.ParquetFile.iter_batches

    def watched(self: Any, *args: Any, columns: list[str], **options: Any) -> Iterator[Any]:
        for batch in original(self, *args, columns=columns, **options):
            read_rows.update(dict.fromkeys(columns, batch.num_rows))
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    assert len(list(corpus)) == read_rows["translation"] == read_rows["audio.path"] == 200
    assert 0 < read_rows["audio.bytes"] <= 2 * 16


@pytest.mark.parametrize(
    "name",
    [
        "train.parquet",
        "train-0.parquet",
        "data/train-00000-of-00001.parquet",
        "data/train-00000-of-00001-0a1b2c3d.parquet",
        "en_de/train/0000.parquet",
        "train/a/b.parquet",
    ],
)
def test_split_is_told_by_the_files_name_or_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, [audio_row(0)])
    write(tmp_path / Path(name).parent / "train_clean.parquet", [audio_row(1)])
    write(tmp_path / "test.parquet", [audio_row(2)])
    results = list(open_corpus(config_of(tmp_path), "train"))
    wanted = sentence("de", 0)
    assert wanted in [r.tgt_text for r in results if isinstance(r, Utterance)]
    assert sentence("de", 2) not in [r.tgt_text for r in results if isinstance(r, Utterance)]


def test_several_datasets_in_one_folder_are_never_mixed(tmp_path: Path) -> None:
    for pair in ("en_de", "en_fr"):
        write(tmp_path / pair / "train-0.parquet", [audio_row(0)])
    with pytest.raises(CorpusError, match=r"lies in several folders, \['en_de/', 'en_fr/'\]"):
        open_corpus(config_of(tmp_path), "train")
    (found,) = open_corpus(config_of(tmp_path, files="en_de/{split}-*.parquet"), "train")
    assert isinstance(found, Utterance)


def test_wrong_mapping_is_refused_before_any_work_with_the_columns_there_are(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [audio_row(0) | {"clip": 3, "translation": {"fr": "x"}}])
    with pytest.raises(
        CorpusError,
        match=r"lacks the columns \{'tgt_text': 'translation\.de'\}, or has them twice.*translation\.fr",
    ):
        open_corpus(config_of(tmp_path, columns={"tgt_text": "translation.de"}), "train")
    with pytest.raises(CorpusError, match=r"column 'clip' of train\.parquet is int64.*\['audio'\]"):
        open_corpus(config_of(tmp_path, columns={"tgt_text": "sentence", "audio": "clip"}), "train")


def test_field_inside_a_column_is_named_with_a_dot(tmp_path: Path) -> None:
    rows = [audio_row(0) | {"translation": {"de": "ja", "fr": "oui"}}, audio_row(1) | {"translation": None}]
    results = read(tmp_path, *rows, columns={"tgt_text": "translation.de"})
    assert reasons(results) == ["read", "missing_field"]
    assert isinstance(results[0], Utterance)
    assert results[0].tgt_text == "ja"


def test_column_of_bytes_inside_another_or_named_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [audio_row(0)])
    with pytest.raises(CorpusError, match=r"'audio\.bytes' of train\.parquet is a field inside another"):
        open_corpus(config_of(tmp_path, columns={"tgt_text": "sentence", "audio": "audio.bytes"}), "train")
    twice = pa.table(
        [pa.array([b"x"]), pa.array(["a"]), pa.array(["b"])], names=["audio", "sentence", "sentence"]
    )
    pq.write_table(twice, tmp_path / "train.parquet")
    with pytest.raises(CorpusError, match=r"lacks the columns \{'tgt_text': 'sentence'\}, or has them twice"):
        open_corpus(config_of(tmp_path, columns={"tgt_text": "sentence"}), "train")


def test_later_shard_without_the_columns_loses_its_rows_one_by_one(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [audio_row(0)])
    write(tmp_path / "train-1.parquet", [{"other": 1}, {"other": 2}])
    assert reasons(list(open_corpus(config_of(tmp_path), "train"))) == ["read", *["missing_column"] * 2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"translation": None}, "missing_field"),
        ({"translation": " \x00"}, "empty_reference"),
        ({"key": "../x"}, "invalid_id"),
        ({"key": "b"}, "duplicate_id"),
    ],
)
def test_bad_row_is_rejected_with_its_place_and_harms_no_other(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    rows = [audio_row(0) | {"key": "b"}, audio_row(1) | {"key": "a"} | change]
    good, bad = read(tmp_path, *rows, columns=COLUMNS | {"id": "key"})
    assert isinstance(good, Utterance)
    assert isinstance(bad, Rejection)
    assert (bad.reason, bad.where) == (reason, "train.parquet:1")


def test_row_is_called_by_its_id_else_its_file_else_its_place(tmp_path: Path) -> None:
    rows = [audio_row(0, "clips/a.mp3") | {"key": 7}, audio_row(1) | {"key": 8}]
    assert [r.id for r in read(tmp_path, *rows, columns=COLUMNS | {"id": "key"})] == ["7", "8"]
    assert [r.id for r in read(tmp_path, *rows)] == ["a", "train_1"]


def test_numbers_where_texts_should_be_are_malformed_rows(tmp_path: Path) -> None:
    assert reasons(read(tmp_path, audio_row(0) | {"translation": 3})) == ["malformed_line"]


def test_audio_may_be_plain_bytes_or_paths_below_root(tmp_path: Path) -> None:
    write_audio(tmp_path / "clips/a.wav", 1.0)
    write_audio(tmp_path.parent / "secret.wav", 1.0)
    plain = {"translation": "gut", "sentence": "good"}
    places = ["clips/a.wav", f"{tmp_path}/clips/a.wav", "../secret.wav"]
    (packed,) = read(tmp_path, plain | {"audio": encoded(1.0)})
    assert isinstance(packed, Utterance)
    assert len(open_corpus(config_of(tmp_path), "train").load_audio(packed)) == 16_000
    paths = [plain | {"audio": place} for place in places]
    structs = [audio_row(0) | {"audio": {"bytes": None, "path": place}} for place in places]
    typed = pa.Table.from_pylist(structs, schema=pa.Table.from_pylist([audio_row(0, "x")]).schema)
    for table in (pa.Table.from_pylist(paths), typed):
        pq.write_table(table, tmp_path / "train.parquet")
        corpus = open_corpus(config_of(tmp_path), "train")
        first, again, outside = corpus
        assert isinstance(first, Utterance)
        assert first.audio.path == "clips/a.wav"
        assert len(corpus.load_audio(first)) == 16_000
        assert reasons([again, outside]) == ["duplicate_id", "audio_outside_root"]


def test_row_without_audio_bytes_among_others_is_found_when_it_is_used(tmp_path: Path) -> None:
    rows = [
        audio_row(0, "a"),
        audio_row(1, "b") | {"audio": {"bytes": None, "path": "b"}},
        audio_row(2, "c", b""),
    ]
    noise = audio_row(3, "d", b"noise")
    _, missing, empty, wrong = read(tmp_path, *rows, noise)
    corpus = open_corpus(config_of(tmp_path), "train")
    for utterance, reason in (
        (missing, "audio_missing"),
        (empty, "audio_empty_file"),
        (wrong, "audio_undecodable"),
    ):
        assert isinstance(utterance, Utterance)
        for use in (corpus.load_audio, corpus.audio_seconds):
            with pytest.raises(AudioError, match=reason):
                use(utterance)


def test_digest_follows_the_texts_and_the_mapping_and_not_how_often_it_is_asked(tmp_path: Path) -> None:
    config = write_parquet(tmp_path)
    corpus = open_corpus(config, "train")
    before = corpus.digest()
    assert corpus.digest() == before == open_corpus(config, "train").digest()
    swapped = config.columns.model_copy(update={"src_text": "translation"})
    assert open_corpus(config.model_copy(update={"columns": swapped}), "train").digest() != before
    path = tmp_path / "data/train-00000-of-00002.parquet"
    rows = pq.read_table(path).to_pylist()
    write(path, [rows[0] | {"translation": "anders"}, *rows[1:]], row_group_size=2)
    assert open_corpus(config, "train").digest() != before


def test_shard_that_links_out_of_the_corpus_is_refused_but_the_clients_cache_is_followed(
    tmp_path: Path,
) -> None:
    write(tmp_path / "secret.parquet", [audio_row(0)])
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/train.parquet").symlink_to(tmp_path / "secret.parquet")
    assert reasons(list(open_corpus(config_of(tmp_path / "corpus"), "train"))) == ["audio_outside_root"]
    snapshot = tmp_path / "datasets--a--b/snapshots/0123"
    write(tmp_path / "datasets--a--b/blobs/ab12", [audio_row(0)])
    snapshot.mkdir(parents=True)
    (snapshot / "train.parquet").symlink_to("../../blobs/ab12")
    corpus = open_corpus(config_of(snapshot), "train")
    (found,) = corpus
    assert isinstance(found, Utterance)
    assert len(corpus.load_audio(found)) == 24_000


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -20])
def test_truncated_shard_is_one_rejection_and_the_others_are_read(tmp_path: Path, keep: int) -> None:
    config = write_parquet(tmp_path, 4)
    shard = tmp_path / "data/train-00000-of-00002.parquet"
    shard.write_bytes(shard.read_bytes()[:keep])
    results = list(open_corpus(config, "train"))
    assert reasons(results) == ["unreadable_shard", "read", "read"]
    assert isinstance(results[0], Rejection)
    assert results[0].where == "data/train-00000-of-00002.parquet"
    assert str(tmp_path) not in results[0].detail


def test_damaged_texts_lose_the_rows_of_their_row_group_only(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [audio_row(k, f"{k}.wav") for k in range(6)], row_group_size=2)
    path = tmp_path / "train.parquet"
    column = pq.ParquetFile(path).metadata.row_group(1).column(3)
    assert column.path_in_schema == "translation"
    data = bytearray(path.read_bytes())
    begin = column.dictionary_page_offset or column.data_page_offset
    data[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    results = list(open_corpus(config_of(tmp_path), "train"))
    assert reasons(results) == ["read", "read", "unreadable_row", "unreadable_row", "read", "read"]
    assert [r.where for r in results if isinstance(r, Rejection)] == ["train.parquet:2", "train.parquet:3"]


def test_text_that_is_not_utf8_rejects_its_row_only(tmp_path: Path) -> None:
    raw = pa.array([b"gut", b"\xff\xfe", b"auch"])
    texts = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    audio = pa.array([{"bytes": encoded(1.0), "path": f"{k}.wav"} for k in range(3)])
    columns = {"audio": audio, "translation": texts, "sentence": pa.array(["a", "b", "c"])}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    assert reasons(list(open_corpus(config_of(tmp_path), "train"))) == ["read", "unreadable_row", "read"]


@pytest.fixture(scope="module")
def whole_shard(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "train.parquet"
    write(path, [audio_row(k, f"{k}.wav", b"RIFF") for k in range(8)], row_group_size=4, compression="none")
    return path.read_bytes()


def test_footer_that_counts_other_rows_than_its_row_groups_is_damage(
    tmp_path: Path, whole_shard: bytes
) -> None:
    """Every byte of the footer that says 8 rows (16, as Parquet writes numbers) says 120 instead, one at a time."""
    footer = len(whole_shard) - 8 - int.from_bytes(whole_shard[-8:-4], "little")
    for place in [k for k in range(footer, len(whole_shard)) if whole_shard[k] in (8, 16)]:
        damaged = bytearray(whole_shard)
        damaged[place] = 0x70
        (tmp_path / "train.parquet").write_bytes(damaged)
        try:
            results = list(open_corpus(config_of(tmp_path), "train"))
        except CorpusError:
            continue
        assert len(results) == 8 or reasons(results) == ["unreadable_shard"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.data())
def test_flipped_bytes_never_crash_and_every_row_or_its_shard_is_accounted_for(
    tmp_path: Path, whole_shard: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(whole_shard)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "train.parquet").write_bytes(damaged)
    try:
        corpus = open_corpus(config_of(tmp_path), "train")
        results = list(corpus)
    except CorpusError as error:
        assert "train.parquet" in str(error)  # noqa: PT017 - a name in the schema is what was hit
        return
    assert len(results) == 8 or reasons(results)[-1] == "unreadable_shard"
    for result in results:
        result.id.encode("utf-8")
        if isinstance(result, Utterance):
            with pytest.raises(AudioError):
                corpus.load_audio(result)
