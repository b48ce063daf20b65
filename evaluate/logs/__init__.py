"""Logs of streaming systems, ours and other toolkits': read, checked, converted and written."""

from evaluate.logs.entry import Log, LogEntry
from evaluate.logs.findings import HARMLESS, RULES, Finding, LogError, refuse
from evaluate.logs.read import counted_unit, detect_format, read_log
from evaluate.logs.score import LogScores, score_log
from evaluate.logs.simuleval import Instance, read_instances, write_instances
from evaluate.logs.simulstream import write_simulstream
from evaluate.logs.store import store_log

__all__ = [
    "HARMLESS",
    "RULES",
    "Finding",
    "Instance",
    "Log",
    "LogEntry",
    "LogError",
    "LogScores",
    "counted_unit",
    "detect_format",
    "read_instances",
    "read_log",
    "refuse",
    "score_log",
    "store_log",
    "write_instances",
    "write_simulstream",
]
