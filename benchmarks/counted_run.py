"""The flow run_simulsa in a process that also writes down every request at the moment its model begins with it.

benchmarks/chaos.py deploys it: what a killed process had begun stands in no record, and this file tells how much that
was. The environment variable ASKED names the file; without it nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from flows.run_simulsa import run_simulsa
from lalm.adapters import adapter_digest
from lalm.engine import AnyRequest, GenerateRequest
from lalm.recorded import request_key
from lalm.transformers_engine import TransformersEngine
from lalm.vllm.remote import HttpReplica

ASKED = "SIMULSA_CHAOS_ASKED"

__all__ = ["ASKED", "run_simulsa"]


def _count_into(path: Path) -> None:
    """From now on each request that a model begins with is a line of `path`, written at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(requests: Sequence[AnyRequest], adapter: Path | None) -> None:
        digest = None if adapter is None else adapter_digest(adapter)
        keys = [request_key(_verb(request), {}, digest, request) for request in requests]
        os.write(file, "".join(f"{key}\n" for key in keys).encode())

    run, ask = TransformersEngine._run, HttpReplica._ask

    def noted_run(self: Any, requests: Any, adapter: Path | None, run_batch: Any) -> Any:
        def noted_batch(batch: Any, encoder_key: str) -> Any:
            note(batch, adapter)
            return run_batch(batch, encoder_key)

        return run(self, requests, adapter, noted_batch)

    async def noted_ask(self: Any, request: Any, adapter: Path | None) -> Any:
        note([request], adapter)
        return await ask(self, request, adapter)

    TransformersEngine._run = noted_run  # type: ignore[method-assign]
    HttpReplica._ask = noted_ask  # type: ignore[method-assign]


def _verb(request: AnyRequest) -> Literal["generate", "score"]:
    return "generate" if isinstance(request, GenerateRequest) else "score"


if os.environ.get(ASKED):
    _count_into(Path(os.environ[ASKED]))
