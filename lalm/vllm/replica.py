"""What a fleet asks of one copy of the model, and the two ways in which it may give no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lalm.engine import Answer, AnyRequest


class ReplicaError(Exception):
    """A replica gave no answer. `lost`: the connection or the process is gone, so this request may be the cause,
    unless it never `reached` the replica.
    """

    def __init__(self, message: str, *, lost: bool, reached: bool = True) -> None:
        super().__init__(message)
        self.lost = lost
        self.reached = reached


class BusyError(Exception):
    """A healthy replica asks to be asked later."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"busy for {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Replica(Protocol):
    """One copy of the model that works on many requests at once."""

    name: str

    async def answer(self, request: AnyRequest, adapter: Path | None) -> Answer:
        """Answer one request; raises ReplicaError, BusyError, or EngineError when no retry can help."""
        ...

    async def healthy(self) -> bool:
        """Whether it could answer now; quick, and never raises."""
        ...

    async def revive(self) -> None:
        """Do what can be done to make it healthy (start it again, or nothing); EngineError when that is over."""
        ...

    async def close(self) -> None: ...
