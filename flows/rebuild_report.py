"""`simulsa report`: the evaluation flow against a read-only store, so that nothing is computed."""

from __future__ import annotations

from typing import Any

from flows.config import RunConfig
from flows.evaluate_streaming import evaluate_streaming
from flows.session import session_for


def rebuild_report(config: RunConfig) -> dict[str, Any]:
    """Write the report from stored results; raises StoreError naming the first stage that is not finished."""
    with session_for(config, read_only=True):
        summary: dict[str, Any] = evaluate_streaming(config)
        return summary
