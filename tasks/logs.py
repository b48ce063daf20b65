"""One log line per part of a stage, with its run, stage and part: for Prefect's log page and for log collectors.

Lines go to the logger `simulsa`, with the facts in `extra["simulsa"]`, and within a Prefect run to that run's logger.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger

from tasks.reporting import SilentReporter
from tasks.store import Manifest

LOG = logging.getLogger("simulsa")


class LogReporter(SilentReporter):
    """Logs what begins, ends and fails."""

    def __init__(self, run: str) -> None:
        self._run = run

    def started(self, stage: str, part: str) -> None:
        self._say(logging.INFO, stage, part, "started")

    def waiting(self, stage: str, part: str, reason: str) -> None:
        self._say(logging.DEBUG, stage, part, "waiting", reason=reason)

    def finished(self, stage: str, part: str, made: Manifest, asked: Mapping[str, int]) -> None:  # noqa: ARG002
        event = "cached" if made.cached else "done"
        self._say(logging.INFO, stage, part, event, key=made.key, info=made.info)

    def failed(self, stage: str, part: str, error: BaseException) -> None:
        self._say(logging.ERROR, stage, part, "failed", error=f"{type(error).__name__}: {error}")

    def _say(self, level: int, stage: str, part: str, event: str, **facts: Any) -> None:
        line = {"run": self._run, "stage": stage, "part": part, "event": event, **facts}
        detail = next((f": {facts[name]}" for name in ("error", "reason", "key") if name in facts), "")
        message = f"run={self._run} stage={stage} part={part} {event}{detail}"
        LOG.log(level, "%s", message, extra={"simulsa": line})
        if FlowRunContext.get() or TaskRunContext.get():
            get_run_logger().log(level, "%s", message, extra={"simulsa": line})


class JsonLines(logging.Formatter):
    """A log record as one JSON object: time, level, logger, message, and the facts of ours it carries."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "simulsa", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_json_lines() -> None:
    """From now on every log record of this process is a JSON line on stderr, ours from INFO, others' from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    LOG.setLevel(logging.INFO)
