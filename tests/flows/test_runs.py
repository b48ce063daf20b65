"""The record of a run tells what became of it, also of one that was killed; a run directory has one configuration."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import flows.commands.runs  # noqa: F401 - registers the commands
from flows.config import RunConfig, parse_config
from flows.history import HistoryError, Remembering, RunRecord, all_records, find_record, read_events
from flows.run_lock import BusyError, run_directory
from flows.run_status import run_status
from flows.session import content_digest
from tasks.reporting import Hardware, Reporters, StageClock, Work, stage_timing
from tasks.store import Manifest, Store
from tests.flows.test_cli import simulsa

HOLD = """
import sys
from pathlib import Path
from types import SimpleNamespace
from flows.history import RunRecord
from flows.run_lock import run_directory
from tasks.reporting import StageClock
directory = Path(sys.argv[1])
config = SimpleNamespace(name=directory.name, run_dir=directory, model_dump=lambda mode: {})  # all a record asks of one
with run_directory(directory, sys.argv[2]), RunRecord(config, "build_dataset", StageClock()) as record:
    record.started("generate", "1")
    print("holding", flush=True)
    sys.stdin.read()
"""


def configuration(outputs: Path, name: str = "toy") -> RunConfig:
    corpus = {"name": "c", "layout": "covost2", "root": "nowhere", "src_lang": "en", "tgt_lang": "de"}
    return parse_config(
        {"name": name, "outputs": str(outputs), "model": {"path": "micro-lalm"}, "corpus": corpus}
    )


def made(stage: str, *, cached: bool = False, **info: Any) -> Manifest:
    return Manifest(
        key=f"key of {stage}", stage=stage, version=1, attempt="a", files={}, info=info, inputs={},
        directory=Path(), cached=cached,
    )  # fmt: skip


def record_a_run(outputs: Path) -> dict[str, Any]:
    """select is a hit; one part of generate is made and one fails."""
    clock = StageClock()
    with suppress(ValueError), RunRecord(configuration(outputs), "build_dataset", clock) as record:
        reporter = Reporters(clock, record)
        reporter.started("select", "1")
        reporter.finished(
            "select", "1", made("select", cached=True, rejected=2), {"issued": 0, "replayed": 0}
        )
        reporter.started("generate", "1")
        reporter.started("generate", "2")
        reporter.advanced("generate", "1", 5, 5)
        asked = {"issued": 10, "replayed": 3}
        reporter.finished("generate", "1", made("generate", rejected={"qc.empty": 1, "qc.long": 2}), asked)
        reporter.failed("generate", "2", ValueError("no answer"))
        raise ValueError("no answer")
    return run_status(find_record(outputs, "toy"))


def stage(status: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(stage for stage in status["stages"] if stage["name"] == name)
    return found


def test_status_tells_done_cached_failed_and_rejected_of_every_stage(tmp_path: Path) -> None:
    status = record_a_run(tmp_path)
    assert (status["state"], status["error"]) == ("failed", "ValueError: no answer")
    select, generate = stage(status, "select"), stage(status, "generate")
    assert (select["state"], select["cached"], select["rejected"]) == ("cached", 1, 2)
    assert (generate["state"], generate["done"], generate["failed"], generate["rejected"]) == (
        "failed",
        1,
        1,
        3,
    )
    assert [part["error"] for part in generate["parts"]] == [None, "ValueError: no answer"]


def test_requests_are_those_of_the_part_that_asked_them(tmp_path: Path) -> None:
    generate = stage(record_a_run(tmp_path), "generate")
    assert (generate["count"], generate["issued"], generate["replayed"]) == (5, 10, 3)


def test_rates_and_costs_are_of_the_parts_that_were_no_hits() -> None:
    hit = Work(start_s=0.0, end_s=100.0, cached=True)
    parts = [
        hit,
        Work(start_s=10.0, end_s=1810.0, cached=False, count=3600, issued=7200),
        Work(start_s=20.0, end_s=3610.0, cached=False, count=3600, issued=7200),
    ]
    hardware = Hardware(gpus=2, gpu_hour_price=3.0)
    timing = stage_timing("generate", parts, hardware)
    assert (timing.seconds, timing.shards, timing.cached) == (3610.0, 3, 1)
    assert (timing.per_s, timing.requests_per_s, timing.gpu_hours, timing.cost) == (2.0, 4.0, 2.0, 6.0)
    assert stage_timing("assemble", parts, hardware).gpu_hours is None
    assert stage_timing("generate", [hit], hardware).cost == 0.0


def test_killed_run_is_shown_as_killed_and_a_living_one_as_running(tmp_path: Path) -> None:
    with holding(tmp_path / "toy", "digest") as process:
        assert run_status(find_record(tmp_path, "toy"))["state"] == "running"
        with (
            pytest.raises(BusyError, match=rf"process {process.pid} on"),
            run_directory(tmp_path / "toy", "other"),
        ):
            pass
        with run_directory(tmp_path / "toy", "digest"):
            pass  # the same configuration makes the same: both may
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed = run_status(find_record(tmp_path, "toy"))
    assert (killed["state"], stage(killed, "generate")["state"]) == ("killed", "killed")
    with run_directory(tmp_path / "toy", "other"):
        pass


def holding(directory: Path, digest: str) -> subprocess.Popen[bytes]:
    """A process that holds a run of this configuration until it is killed."""
    command = [sys.executable, "-c", HOLD, str(directory), digest]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"holding\n"
    return process


def test_line_cut_short_by_a_kill_is_no_event(tmp_path: Path) -> None:
    record_a_run(tmp_path)
    record = find_record(tmp_path, "toy")
    before = read_events(record)
    with record.open("a") as file:
        file.write('{"event":"part_st')
    assert read_events(record) == before


def test_message_with_any_line_separator_is_read_back(tmp_path: Path) -> None:
    said = "one\u2028two\u2029three\x85four\r\nfive \ud800"
    with RunRecord(configuration(tmp_path), "build_dataset", StageClock()) as record:
        record.note("told", message=said)
    assert [e.get("message") for e in read_events(find_record(tmp_path, "toy"))] == [None, said, None]
    raw = find_record(tmp_path, "toy")
    raw.write_text(raw.read_text().replace("\\u2028", "\u2028"))
    assert read_events(raw)[1]["message"] == said


def test_thread_that_outlives_its_run_writes_into_no_file(tmp_path: Path) -> None:
    with RunRecord(configuration(tmp_path), "build_dataset", StageClock()) as record:
        pass
    with (tmp_path / "another").open("wb") as reused:
        assert reused.fileno() == record._file
        record.started("generate", "1")
    assert (tmp_path / "another").read_bytes() == b""


def test_event_that_finds_no_room_is_lost_whole_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, room = os.write, [7, 0, 1 << 20]

    def write(descriptor: int, data: bytes) -> int:
        if (free := room.pop(0)) == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:free])

    clock = StageClock()
    with RunRecord(configuration(tmp_path), "build_dataset", clock) as record:
        reporter = Reporters(clock, record)
        with monkeypatch.context() as patch:
            patch.setattr("flows.history.os.write", write)
            reporter.started("generate", "1")
            reporter.finished("generate", "1", made("generate"), {"issued": 0, "replayed": 0})
    assert "the event part_started could not be recorded: [Errno 28]" in caplog.text
    status = run_status(find_record(tmp_path, "toy"))
    assert (status["state"], stage(status, "generate")["state"]) == ("completed", "done")


def test_record_that_cannot_be_begun_is_an_error_and_of_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("flows.history.os.write", write)
    with pytest.raises(HistoryError, match=r"cannot be written to .*No space left"):
        RunRecord(configuration(tmp_path), "build_dataset", StageClock())
    assert all_records(tmp_path) == []


def test_record_that_a_kill_left_empty_is_of_no_run(tmp_path: Path) -> None:
    record_a_run(tmp_path)
    before = all_records(tmp_path)
    (before[0].parent / "20990101-000000-ffffff.jsonl").touch()
    assert all_records(tmp_path) == before


@dataclass
class FullStore(Store):
    """Counts what it is to remember, and has no room for the first of it."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def remember_run(self, name: str, configuration: str) -> None:
        self.asked.append((name, configuration))
        if len(self.asked) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_run_is_remembered_at_its_first_part_and_once_an_hour(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 50.0
    monkeypatch.setattr("flows.history.time.monotonic", lambda: now)
    store = FullStore()
    remembering = Remembering(store, "toy", "digest")
    for now in (50.0, 60.0, 3649.0, 3651.0, 3700.0):  # noqa: B007 - the clock reads it
        remembering.finished("generate", "1", made("generate"), {})
    assert store.asked == [("toy", "digest")] * 2
    assert "what run toy stands on could not be noted" in caplog.text


def test_run_that_also_publishes_makes_the_same_and_shares_its_directory(tmp_path: Path) -> None:
    plain = configuration(tmp_path)
    raw = plain.model_dump(mode="json")
    assert content_digest(parse_config({**raw, "publish": {"repo": "toy/nightly"}})) == content_digest(plain)
    assert content_digest(parse_config({**raw, "seed": 8})) != content_digest(plain)


@pytest.mark.parametrize(
    ("recorded", "option", "place"),
    [
        ("s3://bucket/runs", (), "s3://bucket/runs"),
        ("s3://bucket/runs", ("--outputs", "s3://bucket/moved"), "s3://bucket/moved"),
        ("outputs", (), "outputs"),
    ],
)
def test_rerun_goes_where_the_run_went(
    recorded: str, option: tuple[str, ...], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with RunRecord(configuration(Path("x")).model_copy(update={"outputs": recorded}), "build", StageClock()):
        pass
    ran: list[RunConfig] = []
    monkeypatch.setattr("flows.commands.runs.run_flow", lambda _, config, **__: ran.append(config))
    assert simulsa(monkeypatch, "rerun", "toy", *option) == 0
    assert [config.outputs for config in ran] == [place]


def test_run_is_found_by_its_name_its_id_and_the_beginning_of_it(tmp_path: Path) -> None:
    record_a_run(tmp_path)
    (record,) = all_records(tmp_path)
    assert find_record(tmp_path, record.stem) == find_record(tmp_path, record.stem[:-2]) == record
    with pytest.raises(HistoryError, match="there are runs of toy"):
        find_record(tmp_path, "other")


def test_run_carries_its_whole_configuration(tmp_path: Path) -> None:
    record_a_run(tmp_path)
    start = read_events(find_record(tmp_path, "toy"))[0]
    assert parse_config(start["configuration"]) == configuration(tmp_path)


@pytest.mark.parametrize("arguments", [("runs",), ("status", "toy")])
def test_commands_answer_with_one_json_object_or_a_table(
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record_a_run(tmp_path)
    assert simulsa(monkeypatch, *arguments, "--outputs", str(tmp_path), "--json") == 0
    assert "failed" in json.dumps(json.loads(capsys.readouterr().out))
    assert simulsa(monkeypatch, *arguments, "--outputs", str(tmp_path)) == 0
    assert "next: simulsa" in capsys.readouterr().out


def test_rerun_from_an_unknown_stage_lists_the_stages_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record_a_run(tmp_path)
    assert simulsa(monkeypatch, "rerun", "toy", "--from", "training", "--outputs", str(tmp_path)) == 2
    assert "select, truncate, generate" in capsys.readouterr().err
    assert len(all_records(tmp_path)) == 1
