"""Patience: how often, how long, and for what a call to the Hub is repeated. Nothing is repeated without a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity
from huggingface_hub import set_client_factory
from huggingface_hub.utils import get_session, httpx  # type: ignore[attr-defined]  # see lalm.hub

from augment.hub.errors import asked_wait_s, passes

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """At most `attempts` calls, growing waits with jitter between them, and a limit on every silence of the Hub.

    A longer wait than `longest_wait_s` that the Hub asks for (Retry-After) ends the attempts at once.
    """

    attempts: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = 300.0
    silence_s: float = 180.0
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, call: Callable[[], Result]) -> Result:
        """What `call` returns; its last error once patience is at an end, any other error at once."""
        retrying = tenacity.Retrying(
            stop=self._at_an_end,
            wait=self._wait_s,
            retry=tenacity.retry_if_exception(passes),
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(call)

    def limit_silence(self) -> None:
        """Let no request of this process wait for ever: the client has no limits of its own on uploads."""
        hooks = get_session().event_hooks
        timeout = httpx.Timeout(self.silence_s, connect=min(30.0, self.silence_s))
        set_client_factory(lambda: httpx.Client(event_hooks=hooks, follow_redirects=True, timeout=timeout))

    def _at_an_end(self, state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= self.attempts or (_asked_s(state) or 0.0) > self.longest_wait_s

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random(0, self.first_wait_s)(state)
        asked_s = _asked_s(state)
        if asked_s is not None:
            return asked_s + jitter
        return tenacity.wait_exponential(multiplier=self.first_wait_s, max=60.0)(state) + jitter


def _asked_s(state: tenacity.RetryCallState) -> float | None:
    return asked_wait_s(state.outcome.exception()) if state.outcome else None
