"""Records survive Parquet unchanged, and equal records give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.records import RecordsError, arrow_schema, from_row, read_records, to_row, write_records
from augment.schema import AudioRef, PartialTarget, Rejection, TruncatedUtterance, Utterance
from tests.support.examples import target, truncated, utterance

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOAT = st.floats(allow_nan=False)


@pytest.mark.parametrize(
    ("records", "record_type"),
    [
        ([utterance("a", src_text=None), utterance("b", speaker="s1")], Utterance),
        ([utterance("a", audio=AudioRef(path="x/y.wav", offset_s=1.5, duration_s=2.25))], Utterance),
        ([truncated("a"), truncated("b", 400)], TruncatedUtterance),
        (
            [Rejection(id="a", stage="read", reason="empty_reference", detail="tab\there", where="x.tsv:3")],
            Rejection,
        ),
        ([target("a"), target("b", ""), target("c", other_logprobs=(-1.0,))], PartialTarget),
        ([], PartialTarget),
    ],
)
def test_records_read_back_equal(tmp_path: Path, records: list[object], record_type: type) -> None:
    write_records(tmp_path / "records.parquet", records, record_type)

    assert read_records(tmp_path / "records.parquet", record_type) == records


@settings(max_examples=50)
@given(
    st.builds(target, TEXT, TEXT, kept_logprobs=st.lists(FLOAT).map(tuple), mean_logprob=st.none() | FLOAT)
)
def test_any_text_and_float_reads_back_equal(record: PartialTarget) -> None:
    assert from_row(to_row(record), PartialTarget) == record


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_records(tmp_path / name, [truncated("a"), truncated("b")], TruncatedUtterance)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_optional_column_keeps_its_type_when_every_value_is_missing(tmp_path: Path) -> None:
    write_records(tmp_path / "u", [utterance("a", src_text=None)], Utterance)
    write_records(tmp_path / "v", [utterance("a")], Utterance)

    assert str(arrow_schema(Utterance).field("src_text").type) == "string"
    assert len(read_records(tmp_path / "u", Utterance) + read_records(tmp_path / "v", Utterance)) == 2


def test_a_file_of_other_records_is_refused_by_name(tmp_path: Path) -> None:
    write_records(tmp_path / "records.parquet", [utterance("a")], Utterance)

    with pytest.raises(RecordsError, match=r"records\.parquet must hold Rejection records"):
        read_records(tmp_path / "records.parquet", Rejection)


def test_a_field_without_an_arrow_type_is_our_own_bug() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="complex"):
        arrow_schema(Odd)


def test_a_failed_write_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    write_records(path, [utterance("a")], Utterance)
    before = path.read_bytes()

    with pytest.raises(TypeError, match="expected a Utterance"):
        write_records(path, [utterance("a"), target("b")], Utterance)  # type: ignore[list-item]

    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["records.parquet"]
