"""Contents on the test Hub: uploads to its storage, downloads from it, and the redirect between the two."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.support.hub.messages import Answer, Question, as_json, must_write
from tests.support.hub.repositories import Commit, RefusalError, Repository

if TYPE_CHECKING:
    from tests.support.hub.server import Hub


def stored_object(hub: Hub, ask: Question, sha256: str) -> Answer:
    """The storage behind LFS: an object is taken only when its content is what its name says."""
    if ask.method == "PUT":
        if hub.repositories.store(ask.body) != sha256:
            raise RefusalError(400, "", "the content does not have this sha256")
        return Answer()
    if not hub.repositories.has(sha256):
        raise RefusalError(404, "", "no such object")
    return _content(ask, hub.repositories.read(sha256), {"ETag": f'"{sha256}"'})


def _content(ask: Question, body: bytes, headers: dict[str, str]) -> Answer:
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", ask.headers.get("Range") or "")
    if not wanted:
        return Answer(headers=headers, body=body, length=len(body))
    first, last = wanted.groups()
    start = int(first) if first else max(0, len(body) - int(last))
    stop = min(len(body), int(last) + 1) if first and last else len(body)
    if start >= stop:
        return Answer(status=416, headers={**headers, "Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
    return Answer(status=206, headers=headers, body=body[start:stop])


def page(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    """Downloads and LFS, below the repository's page rather than below /api."""
    match rest:
        case ["info", "lfs", "objects", "batch"]:
            must_write(ask)
            return as_json({"transfer": "basic", "objects": [_upload(hub, o) for o in ask.json()["objects"]]})
        case ["resolve", revision, *path]:
            return _resolve(hub, ask, repository, repository.resolve(revision), "/".join(path))
    raise RefusalError(404, "EntryNotFound", f"no such page: {rest}")


def _upload(hub: Hub, wanted: dict[str, Any]) -> dict[str, Any]:
    if hub.repositories.has(wanted["oid"]):
        return wanted
    return wanted | {"actions": {"upload": {"href": _storage(hub, wanted["oid"])}}}


def _storage(hub: Hub, sha256: str) -> str:
    return f"{hub.storage_url}/objects/{sha256}?signature=loopback"


def _resolve(hub: Hub, ask: Question, repository: Repository, commit: Commit, path: str) -> Answer:
    file = commit.files.get(path)
    if file is None:
        raise RefusalError(404, "EntryNotFound", "Entry not found")
    headers = {"X-Repo-Commit": commit.oid}
    if not file.lfs:
        return _content(ask, hub.repositories.read(file.sha256), headers | {"ETag": f'"{file.oid}"'})
    linked = {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    return Answer(status=302, headers=headers | linked | {"Location": _storage(hub, file.sha256)})
