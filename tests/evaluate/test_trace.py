"""Traces survive the disk, and a broken file says where it is broken."""

from pathlib import Path

import pytest
from hypothesis import given
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
        st.builds(Emission, unit=st.text(st.characters(exclude_categories=("Cs",))), delay_ms=floats),
        max_size=4,
    ).map(tuple),
    steps=st.lists(
        st.builds(
            Step,
            audio_ms=floats,
            token_ids=st.lists(st.integers(0, 200_000), max_size=4).map(tuple),
            capped=st.booleans(),
            compute_s=st.none() | floats,
        ),
        max_size=4,
    ).map(tuple),
    failure=st.none() | st.just("longer_than_window: 9 s"),
)


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
