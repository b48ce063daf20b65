"""What can go wrong between a client and the Hub, declared per request and used up in order."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["answer", "disconnect", "drop", "hold", "die", "die_after"]


@dataclass(slots=True, kw_only=True)
class Fault:
    """Befalls the next `times` requests that match, after `skip` of them passed.

    `answer`: `status` instead of the work; `disconnect`: the body is half read and the connection closed; `drop`:
    the work is done and its answer lost; `hold`: `reached` is set, and nothing happens until `release` is; `die` and
    `die_after`: the server kills its own process before or after the work.
    """

    method: str
    path: str
    action: Action = "answer"
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "injected"
    times: int = 1
    skip: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.coming: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self.coming.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that befalls this request, if any."""
        with self._lock:
            for fault in self.coming:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None
