"""Log lines carry run, stage and part; outside of a Prefect run no artifact is made."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.artifacts import Artifacts
from tasks.logs import LOG, JsonLines, LogReporter
from tasks.store import Manifest


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    level = LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    yield written
    LOG.removeHandler(handler)
    LOG.setLevel(level)


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_every_line_is_one_json_object_with_run_stage_and_part(lines: io.StringIO) -> None:
    made = Manifest(
        key="k" * 64, stage="generate", version=1, attempt="a", files={}, info={"targets": 3}, inputs={},
        directory=Path(),
    )  # fmt: skip
    reporter = LogReporter("run-1")
    reporter.started("generate", "2")
    reporter.finished("generate", "2", made, {})
    reporter.failed("assemble", "1", ValueError("two\nlines"))
    told = read(lines)
    assert [(t["run"], t["stage"], t["part"], t["event"], t["level"]) for t in told] == [
        ("run-1", "generate", "2", "started", "info"),
        ("run-1", "generate", "2", "done", "info"),
        ("run-1", "assemble", "1", "failed", "error"),
    ]
    assert (told[1]["key"], told[1]["info"]) == ("k" * 64, {"targets": 3})
    assert told[2]["error"] == "ValueError: two\nlines"


def test_traceback_stays_on_the_line_of_its_record(lines: io.StringIO) -> None:
    try:
        int("wrong")
    except ValueError:
        LOG.exception("it failed")
    (told,) = read(lines)
    assert told["message"] == "it failed"
    assert "ValueError: invalid literal" in told["traceback"].splitlines()[-1]


def test_outside_of_a_prefect_run_no_artifact_is_made() -> None:
    made: list[str] = []
    with Artifacts() as artifacts:
        assert artifacts.leave("page", lambda: made.append("page")) is None
    assert made == []
