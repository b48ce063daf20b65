"""Traces survive the disk, and a broken file says where it is broken."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.trace import Emission, Step, StreamTrace, TraceError, read_traces, write_traces

floats = st.floats(0, 1e6)
traces = st.builds(
    StreamTrace,
    id=st.text(st.characters(exclude_categories=("Cs",))),
    chunk_ms=st.none() | st.integers(20, 5000),
    source_ms=floats,
    text=st.text(st.characters(exclude_categories=("Cs",))),
    emissions=st.lists(
        st.builds(
            Emission,
            unit=st.text(st.characters(exclude_categories=("Cs",))),
            delay_ms=floats,
            step=st.none() | st.integers(0, 9),
        ),
        max_size=4,
    ).map(tuple),
    steps=st.lists(
        st.builds(
            Step,
            audio_ms=floats,
            token_ids=st.lists(st.integers(0, 200_000), max_size=4).map(tuple),
            capped=st.booleans(),
            compute_s=st.none() | floats,
            pieces=st.lists(st.sampled_from(["a", "▁b"]), max_size=2).map(tuple),
            erased=st.integers(0, 3),
        ),
        max_size=4,
    ).map(tuple),
    failure=st.none() | st.just("longer_than_window: 9 s"),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(traces, max_size=3))
def test_written_traces_are_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, written: list[StreamTrace]
) -> None:
    path = tmp_path_factory.mktemp("traces") / "traces.jsonl"
    write_traces(path, written)
    assert list(read_traces(path)) == written


@pytest.mark.parametrize("line", ["{", "{}", '{"id": 1, "steps": 3, "emissions": []}', "[]"])
def test_a_line_that_is_no_trace_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(TraceError, match=r"traces\.jsonl:1 is not a stream trace"):
        list(read_traces(path))


def test_a_trace_of_our_own_is_written_as_before_other_systems_could_be_read() -> None:
    trace = StreamTrace(
        id="u", chunk_ms=640, source_ms=640.0, text="a", emissions=(Emission(unit="a", delay_ms=640.0),),
        steps=(Step(audio_ms=640.0, token_ids=(1,)),),
    )  # fmt: skip
    value = trace.to_json()
    assert list(value["emissions"][0]) == ["unit", "delay_ms"]
    assert list(value["steps"][0]) == ["audio_ms", "token_ids", "capped", "compute_s"]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    good = StreamTrace(id="u", chunk_ms=None, source_ms=1.0, text="", emissions=(), steps=())
    write_traces(path, [good])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_traces(path, [good, replace(good, source_ms=float("nan"))])
    assert list(read_traces(path)) == [good]
    assert [p.name for p in tmp_path.iterdir()] == ["traces.jsonl"]
