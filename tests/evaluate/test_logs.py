"""Logs of other systems: read back as written, every bad line named, nothing impossible accepted."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.logs import (
    RULES,
    Instance,
    LogError,
    counted_unit,
    detect_format,
    read_instances,
    read_log,
    refuse,
    score_log,
    store_log,
    write_instances,
    write_simulstream,
)
from evaluate.trace import Emission, Step, StreamTrace, write_traces

GOOD: dict[str, Any] = {
    "index": 0, "prediction": "good morning all", "delays": [1000.0, 1000.0, 2000.0],
    "elapsed": [1200.0, 1200.0, 2500.0], "prediction_length": 3, "reference": "good morning everyone",
    "source": ["talks/a.wav"], "source_length": 2000.0,
}  # fmt: skip
META: dict[str, Any] = {"id": 0, "metadata": {"wav_name": "talk.wav"}}
STEP: dict[str, Any] = {
    "id": 0, "total_audio_processed": 1.0, "computation_time": 0.2, "generated_tokens": ["good", "day"],
    "deleted_tokens": [],
}  # fmt: skip


def write_lines(path: Path, *lines: Any) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return path


def found(path: Path) -> list[tuple[int, str | None, str]]:
    return [(f.line, f.field, f.rule) for f in read_log(path, "word").findings]


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"elapsed": [900.0, 1200.0, 2500.0]}, "elapsed[0]", "elapsed_before_delay"),
        ({"delays": [1000.0, 900.0, 2000.0]}, "delays[1]", "delays_decrease"),
        ({"elapsed": [1200.0, 1100.0, 2500.0]}, "elapsed[1]", "elapsed_decreases"),
        ({"elapsed": [1500.0, 1500.0, 2100.0]}, "elapsed[2]", "compute_decreases"),
        ({"prediction": "good morning to all"}, "delays", "wrong_length"),
        ({"elapsed": [1200.0]}, "elapsed", "wrong_length"),
        ({"prediction_length": 4}, "prediction_length", "wrong_length"),
        ({"prediction_length": -1}, "prediction_length", "out_of_range"),
        ({"delays": [-1.0, 1000.0, 2000.0]}, "delays[0]", "out_of_range"),
        ({"delays": [1000.0, float("nan"), 2000.0]}, "delays[1]", "not_finite"),
        ({"delays": [10**400, 1000.0, 2000.0]}, "delays[0]", "not_finite"),
        ({"delays": "1000"}, "delays", "wrong_type"),
        ({"delays": [True, 1000.0, 2000.0]}, "delays[0]", "wrong_type"),
        ({"delays": None}, "delays", "missing_field"),
        ({"source_length": 0}, "source_length", "out_of_range"),
        ({"source_length": float("inf")}, "source_length", "not_finite"),
        ({"prediction": 7}, "prediction", "wrong_type"),
        ({"prediction": "\ud800 b c"}, "prediction", "not_utf8"),
        ({"index": "0"}, "index", "wrong_type"),
        ({"source": 3}, "source", "wrong_type"),
        ({"reference": ["x"]}, "reference", "wrong_type"),
    ],
)
def test_an_impossible_instance_is_named_by_line_field_and_rule(
    tmp_path: Path, change: dict[str, Any], field: str, rule: str
) -> None:
    path = write_lines(tmp_path / "instances.log", GOOD, GOOD | {"index": 1} | change)
    assert (2, field, rule) in found(path)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "not_json"),
        ("[1]", "not_an_object"),
        ('{"index": 1, "index": 1}', "duplicate_key"),
        ("[" * 99_999, "not_json"),
    ],
)
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str, rule: str) -> None:
    path = write_lines(tmp_path / "instances.log", GOOD, line)
    assert [(n, r) for n, _, r in found(path)] == [(2, rule)]


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "instances.log"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"prediction": "\xff"}\n')
    assert found(path) == [(2, None, "not_utf8")]


def test_a_rerun_into_the_same_instances_log_is_found(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "instances.log", GOOD, GOOD)
    assert found(path) == [(2, "index", "duplicate_id")]


def test_a_dropped_utterance_leaves_a_gap_that_is_named_but_not_grave(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "instances.log", GOOD, GOOD | {"index": 3})
    log = read_log(path, "word")
    (gap,) = log.findings
    assert (gap.line, gap.rule, gap.value) == (2, "missing_utterance", "1-2")
    refuse(path, log.findings)


def test_an_impossible_log_gets_no_score_and_the_error_says_where(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "instances.log", GOOD | {"delays": [3.0, 2.0, 1.0]})
    with pytest.raises(LogError, match=r"line 1, delays\[1\]: delays_decrease .*simulsa lint"):
        refuse(path, read_log(path, "word").findings)


@pytest.mark.parametrize(
    ("rows", "line", "field", "rule"),
    [
        ([META, STEP, META, STEP], 3, "id", "duplicate_id"),
        ([META, STEP, META | {"id": 1}], 3, "id", "duplicate_id"),
        ([META, STEP | {"total_audio_processed": 2}, STEP], 3, "total_audio_processed", "audio_decreases"),
        ([STEP, META], 1, "id", "no_metadata"),
        ([META, STEP, STEP | {"deleted_tokens": ["good"]}], 3, "deleted_tokens", "erased_unwritten"),
        ([META, STEP | {"deleted_tokens": ["good"]}], 2, "deleted_tokens", "erased_unwritten"),
        ([META, STEP | {"computation_time": -0.1}], 2, "computation_time", "out_of_range"),
        ([META, STEP | {"computation_time": None}], 2, "computation_time", "missing_field"),
        ([META, STEP | {"generated_tokens": "good"}], 2, "generated_tokens", "wrong_type"),
        ([META, STEP | {"generated_tokens": ["a", 3]}], 2, "generated_tokens[1]", "wrong_type"),
        ([META, {k: v for k, v in STEP.items() if k != "id"}], 2, "id", "missing_field"),
        ([META, STEP | {"id": 1e3}], 2, "id", "wrong_type"),
        ([META, STEP | {"id": 10**999}], 2, "id", "out_of_range"),
        ([{"id": 0, "metadata": "talk.wav"}], 1, "metadata", "wrong_type"),
        (
            [META, STEP | {"generated_tokens": ["Good", "\u0120day"]}],
            1,
            "generated_tokens",
            "tokenizer_needed",
        ),
    ],
)
def test_an_impossible_simulstream_row_is_named(
    tmp_path: Path, rows: list[Any], line: int, field: str, rule: str
) -> None:
    assert (line, field, rule) in found(write_lines(tmp_path / "m.jsonl", *rows))


def test_rows_about_the_run_and_blank_lines_say_nothing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "m.jsonl", {"model_loading_time": 1.0}, META, "", STEP)
    log = read_log(path, "word")
    assert (log.format, log.findings) == ("simulstream", ())
    assert log.entries[0].trace.text == "good day"


def test_a_recording_without_steps_is_a_failure_not_a_gap(tmp_path: Path) -> None:
    (entry,) = read_log(write_lines(tmp_path / "m.jsonl", META), "word").entries
    assert entry.trace.failure is not None
    assert entry.trace.text == ""


def test_a_file_that_is_no_log_names_the_formats(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"instances\.log .*simulstream.*traces\.jsonl"):
        detect_format(write_lines(tmp_path / "x.jsonl", {"a": 1}))


def test_own_traces_are_read_and_a_bad_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    trace = Instance(
        index=3, prediction="a b", delays=(1.0, 2.0), elapsed=None, source_length=9.0
    ).to_trace()  # fmt: skip
    write_traces(path, [trace])
    with path.open("a") as file:
        file.write('{"emissions": 3, "steps": []}\n' + json.dumps(trace.to_json()) + "\n")
    log = read_log(path, "word")
    assert [entry.trace for entry in log.entries] == [trace]
    assert [(f.line, f.rule) for f in log.findings] == [(2, "not_a_trace"), (3, "duplicate_id")]


TRACE: dict[str, Any] = {
    "id": "u", "chunk_ms": 1000, "source_ms": 3000.0, "text": "gut so", "failure": None,
    "emissions": [{"unit": "gut", "delay_ms": 1000.0}, {"unit": "so", "delay_ms": 2000.0, "step": 1}],
    "steps": [
        {"audio_ms": 1000.0, "token_ids": [1], "capped": False, "compute_s": None},
        {"audio_ms": 2000.0, "token_ids": [2], "capped": False, "compute_s": 0.1},
    ],
}  # fmt: skip
GOOD_LOGS = pytest.mark.parametrize(
    "lines",
    [[GOOD, GOOD | {"index": 1}], [META, STEP, STEP | {"total_audio_processed": 2.0}], [TRACE]],
    ids=["simuleval", "simulstream", "simulsa"],
)


@GOOD_LOGS
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_file_gives_findings_or_a_log_error_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any], data: st.DataObject
) -> None:
    content = bytearray("".join(json.dumps(line) + "\n" for line in lines).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        begin = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(begin, min(len(content), begin + 40)))
        content[begin:end] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"null", b"-1", b"1e999", b"[", b"\n"])
        )
    path = tmp_path_factory.mktemp("damaged") / "log.jsonl"
    path.write_bytes(content)
    check_reading(path, content.count(b"\n") + 1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@GOOD_LOGS
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_field_of_any_value_gives_findings_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any], data: st.DataObject
) -> None:
    changed = [dict(line) for line in lines]
    line = data.draw(st.sampled_from(changed))
    line[data.draw(st.sampled_from(sorted(line)))] = data.draw(json_values)
    path = tmp_path_factory.mktemp("changed") / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in changed))
    check_reading(path, len(lines))


def check_reading(path: Path, lines: int) -> None:
    try:
        log = read_log(path, "word")
    except LogError:  # no line tells which toolkit wrote it
        return
    for finding in log.findings:
        assert 1 <= finding.line <= lines
        assert finding.rule in RULES
        json.dumps(finding.to_json(), ensure_ascii=False).encode()
    for entry in log.entries:
        assert list(entry.trace.delays_ms) == sorted(entry.trace.delays_ms)
        json.dumps(entry.trace.to_json(), allow_nan=False)
    if log.findings == () and counted_unit(log) == "word":
        score_log(log, references=None, segments=None, unit="word", lang=None, compat=None)


chunks = st.lists(
    st.tuples(
        st.integers(1, 3000),
        st.integers(0, 2000),
        st.lists(st.sampled_from(["gut", "Tag,", "ja"]), min_size=1, max_size=3),
    ),
    max_size=5,
)


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    heard, spent, words = 0.0, 0.0, []
    delays, elapsed = [], []
    for audio_ms, compute_ms, written in draw(chunks):
        heard, spent = heard + audio_ms, spent + compute_ms
        words += written
        delays += [heard] * len(written)
        elapsed += [heard + spent] * len(written)
    return Instance(
        index=draw(st.integers(0, 999)), prediction=" ".join(words), delays=tuple(delays),
        elapsed=tuple(elapsed), source_length=heard + 1, reference=draw(st.none() | st.just("gut so")),
        source=draw(st.none() | st.just("a/b.wav")),
    )  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(written=st.lists(instances(), max_size=3, unique_by=lambda i: i.index))
def test_instances_are_read_back_as_written_and_survive_a_trace(
    tmp_path_factory: pytest.TempPathFactory, written: list[Instance]
) -> None:
    path = tmp_path_factory.mktemp("log") / "instances.log"
    path.write_bytes(write_instances(written))
    read, findings = read_instances(path)
    assert [instance for _, instance in read] == written
    assert {f.rule for f in findings} <= {"missing_utterance"}
    for instance in written:
        back = Instance.from_trace(
            instance.to_trace(), index=instance.index, reference=instance.reference, source=instance.source
        )
        assert back.delays == instance.delays
        assert back.elapsed == pytest.approx(instance.elapsed)


def test_a_trace_becomes_a_simulstream_log_and_comes_back(tmp_path: Path) -> None:
    rows = [
        META,
        STEP,
        STEP | {"total_audio_processed": 2.0, "generated_tokens": [], "computation_time": 0.0},
        STEP | {"total_audio_processed": 3.0, "generated_tokens": ["night"], "deleted_tokens": ["day"]},
    ]
    path = write_lines(tmp_path / "m.jsonl", *rows)
    (entry,) = read_log(path, "word").entries
    assert entry.trace.emissions[1] == Emission(unit="night", delay_ms=3000.0, step=2)
    again = tmp_path / "again.jsonl"
    again.write_bytes(write_simulstream([("talk.wav", entry.trace)]))
    assert [json.loads(line) for line in again.read_text().splitlines()] == rows
    assert StreamTrace.from_json(json.loads(json.dumps(entry.trace.to_json()))) == entry.trace


def test_our_own_traces_are_written_as_whole_words_per_step(tmp_path: Path) -> None:
    trace = StreamTrace(
        id="u", chunk_ms=1000, source_ms=3000.0, text="gut so ja", failure=None,
        steps=tuple(Step(audio_ms=1000.0 * k, token_ids=(k,), compute_s=0.5) for k in (1, 2, 3)),
        emissions=(
            Emission(unit="gut", delay_ms=2000.0), Emission(unit="so", delay_ms=2000.0),
            Emission(unit="ja", delay_ms=3000.0),
        ),
    )  # fmt: skip
    path = tmp_path / "m.jsonl"
    path.write_bytes(write_simulstream([("u.wav", trace)]))
    (entry,) = read_log(path, "word").entries
    assert (entry.trace.text, entry.trace.delays_ms) == (trace.text, trace.delays_ms)
    assert [step.pieces for step in entry.trace.steps] == [(), ("gut", "so"), ("ja",)]
    assert Instance.from_trace(trace, index=0).elapsed == (3000.0, 3000.0, 4500.0)


def test_a_stored_log_lies_under_its_content_and_a_rerun_never_appends(tmp_path: Path) -> None:
    first = store_log(tmp_path, "instances.log", b"one\n")
    assert store_log(tmp_path, "instances.log", b"one\n") == first
    second = store_log(tmp_path, "instances.log", b"two\n")
    assert first.read_bytes() == b"one\n"
    assert second != first
    assert sorted(p.name for p in first.parent.iterdir()) == ["instances.log"]


def test_a_stored_log_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = store_log(tmp_path, "instances.log", b"one\n")
    path.write_bytes(b"one\ntwo\n")
    with pytest.raises(LogError, match="was changed after it was written"):
        store_log(tmp_path, "instances.log", b"one\n")
    with pytest.raises(LogError, match="without directories"):
        store_log(tmp_path, "../x.log", b"")
