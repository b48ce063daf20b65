"""A request and its answer, as the routes of the test Hub see them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.hub.repositories import RefusalError


@dataclass(slots=True, kw_only=True)
class Question:
    """A request, its path cut at slashes and then unquoted: a revision may hold a slash of its own."""

    method: str
    path: list[str]
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    can_read: bool = False
    can_write: bool = False

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back; `length` where a HEAD announces more than it sends."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None


def as_json(value: object, **headers: str) -> Answer:
    return Answer(headers={"Content-Type": "application/json", **headers}, body=json.dumps(value).encode())


def must_write(ask: Question) -> None:
    if not ask.can_write:
        raise RefusalError(403 if ask.can_read else 401, "", "You need write access to this repository")
