"""What the test Hub answers, request by request; a route is tried by its shape, the first that fits answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode

import yaml

from tests.support.hub.messages import Answer, Question, as_json, must_write
from tests.support.hub.repositories import LFS_SUFFIXES, File, RefusalError, Repository
from tests.support.hub.transfer import page, stored_object

if TYPE_CHECKING:
    from tests.support.hub.server import Hub

DATE = "2026-01-01T00:00:00.000Z"


def answer(hub: Hub, ask: Question) -> Answer:
    """Find the repository and the route; RefusalError where there is none."""
    match ask.path:
        case ["api", "repos", "create" | "delete" as verb]:
            return _own(hub, ask, verb)
        case ["api", "validate-yaml"]:
            return _validate(ask)
        case ["objects", sha256]:
            return stored_object(hub, ask, sha256)
        case ["api", ("models" | "datasets") as kind, owner, name, *rest]:
            repository = _repository(hub, ask, kind, f"{owner}/{name}")
            return _api(hub, ask, repository, rest or ["revision", "main"])
        case ["datasets", owner, name, *rest] if rest:
            repository = _repository(hub, ask, "datasets", f"{owner}/{name.removesuffix('.git')}")
            return page(hub, ask, repository, rest)
        case [owner, name, *rest] if rest:
            repository = _repository(hub, ask, "models", f"{owner}/{name.removesuffix('.git')}")
            return page(hub, ask, repository, rest)
    raise RefusalError(404, "", f"no such route: {ask.method} {ask.path}")


def _repository(hub: Hub, ask: Question, kind: str, name: str) -> Repository:
    """As on the Hub, a private repository and a missing one look the same to who may not read."""
    try:
        found = hub.repositories.get(kind.removesuffix("s"), name)
        hidden = found.private and not ask.can_read
    except RefusalError:
        if ask.can_read:
            raise
        hidden = True
    if hidden:
        raise RefusalError(401, "RepoNotFound", "Invalid username or password.")
    return found


def _own(hub: Hub, ask: Question, verb: str) -> Answer:
    must_write(ask)
    wanted = ask.json()
    kind, name = wanted.get("type", "model"), f"{wanted['organization']}/{wanted['name']}"
    url = f"{hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}"
    if verb == "delete":
        hub.repositories.delete(kind, name)
        return as_json({})
    try:
        hub.repositories.create(kind, name, private=wanted.get("visibility") == "private")
    except RefusalError as refusal:
        raise RefusalError(refusal.status, "", str(refusal), {"url": url}) from None
    return as_json({"url": url, "name": name})


def _validate(ask: Question) -> Answer:
    text = ask.json()["content"]
    try:
        front = yaml.safe_load(text.split("---", 2)[1]) if text.startswith("---") else {}
    except yaml.YAMLError as error:
        body = json.dumps({"errors": [{"message": str(error)}], "warnings": []}).encode()
        return Answer(status=400, headers={"Content-Type": "application/json"}, body=body)
    warnings = [] if front else [{"message": "empty or missing yaml metadata in repo card"}]
    return as_json({"errors": [], "warnings": warnings})


def _api(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    verb, *more = rest
    route = _ROUTES.get((ask.method, verb))
    if route is None:
        raise RefusalError(404, "", f"no such route: {ask.method} {rest}")
    if ask.method in ("POST", "DELETE") and verb != "paths-info":
        must_write(ask)
    return route(hub, ask, repository, more)


def _info(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    commit = repository.resolve(rest[0])
    return as_json(
        {
            "_id": repository.name, "id": repository.name, "sha": commit.oid, "private": repository.private,
            "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [], "lastModified": DATE,
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        }
    )  # fmt: skip


def _tree(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    revision, *folder = rest
    inside = "/".join(folder) + "/" if folder else ""
    files = {p: f for p, f in repository.resolve(revision).files.items() if p.startswith(inside)}
    if inside and not files:
        raise RefusalError(404, "EntryNotFound", f"{inside} does not exist")
    entries = _folders(files, inside) + [_entry(path, file) for path, file in files.items()]
    if ask.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
        entries = [entry for entry in entries if "/" not in entry["path"].removeprefix(inside)]
    entries.sort(key=lambda entry: str(entry["path"]))
    start = int(ask.query.get("cursor", ["0"])[0])
    stop = start + hub.page_size
    if stop >= len(entries):
        return as_json(entries[start:])
    query = urlencode({k: v[0] for k, v in ask.query.items() if k != "cursor"} | {"cursor": stop})
    tree = f"{hub.url}/api/{repository.kind}s/{repository.name}/tree"
    next_url = f"{tree}/{'/'.join(quote(part, safe='') for part in rest)}?{query}"
    return as_json(entries[start:stop], Link=f'<{next_url}>; rel="next"')


def _folders(files: Mapping[str, File], inside: str) -> list[dict[str, Any]]:
    names = {
        path[:i] for path in files for i, letter in enumerate(path) if letter == "/" and i >= len(inside)
    }
    return [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in names]


def _entry(path: str, file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": file.oid, "size": file.size}
    return entry | ({"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 134}} if file.lfs else {})


def _paths(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    files = repository.resolve(rest[0]).files
    wanted = parse_qs(ask.body.decode()).get("paths", [])
    folders = [f for f in _folders(files, "") if f["path"] in wanted]
    return as_json([_entry(path, files[path]) for path in wanted if path in files] + folders)


def _preupload(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    files = repository.resolve(rest[0]).files
    ignored = hub.repositories.read(files[".gitignore"].sha256).decode() if ".gitignore" in files else ""

    def mode(wanted: dict[str, Any]) -> dict[str, Any]:
        path, there = wanted["path"], files.get(wanted["path"])
        large = path.endswith(LFS_SUFFIXES) or wanted["size"] > 10 * 2**20
        oid = (there.sha256 if there.lfs else there.oid) if there else None
        skip = any(fnmatch(path, pattern) for pattern in ignored.splitlines())
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": skip, "oid": oid}

    return as_json({"files": [mode(wanted) for wanted in ask.json()["files"]]})


def _commit(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    lines = [json.loads(line) for line in ask.body.splitlines()]
    pull = ask.query.get("create_pr") == ["1"]
    commit, number = hub.repositories.commit(repository, rest[0], lines, pull=pull)
    page = f"{hub.url}/{'datasets/' if repository.kind == 'dataset' else ''}{repository.name}"
    return as_json(
        {
            "success": True,
            "commitOid": commit.oid,
            "commitUrl": f"{page}/commit/{commit.oid}",
            "pullRequestUrl": f"{page}/discussions/{number}" if number else None,
        }
    )


def _commits(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    line = repository.history(rest[0])
    return as_json(
        [{"id": c.oid, "title": c.title, "message": "", "authors": [], "date": DATE} for c in line]
    )


def _refs(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    def below(prefix: str) -> list[dict[str, str]]:
        found = {ref: oid for ref, oid in repository.refs.items() if ref.startswith(prefix)}
        return [{"name": r.removeprefix(prefix), "ref": r, "targetCommit": o} for r, o in found.items()]

    tables = {"branches": below("refs/heads/"), "tags": below("refs/tags/"), "converts": []}
    return as_json(tables | {"pullRequests": below("refs/pr/")})


def _set_ref(prefix: str, hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    """Branches name themselves in the address and their start in the body, tags the other way round."""
    body = ask.json()
    name, start = (
        (rest[0], body.get("startingPoint", "main")) if "heads" in prefix else (body["tag"], rest[0])
    )
    with hub.repositories.lock:
        if prefix + name in repository.refs:
            raise RefusalError(409, "", f"Reference {prefix}{name} already exists")
        repository.refs[prefix + name] = repository.resolve(start).oid
        hub.repositories.save()
    return as_json({})


def _drop_ref(prefix: str, hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    with hub.repositories.lock:
        if repository.refs.pop(prefix + rest[0], None) is None:
            raise RefusalError(404, "RevisionNotFound", f"no {prefix}{rest[0]}")
        hub.repositories.save()
    return as_json({})


def _discussions(hub: Hub, ask: Question, repository: Repository, rest: list[str]) -> Answer:
    about = {
        "createdAt": DATE, "status": "open", "isPullRequest": True, "author": {"name": "toy"},
        "repo": {"name": repository.name, "type": repository.kind},
    }  # fmt: skip
    found = [about | {"title": title, "num": n} for n, title in enumerate(repository.pulls, start=1)]
    return as_json({"count": len(found), "start": 0, "discussions": found})


Route = Callable[["Hub", Question, Repository, list[str]], Answer]
_ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "revision"): _info,
    ("GET", "tree"): _tree,
    ("POST", "paths-info"): _paths,
    ("POST", "preupload"): _preupload,
    ("POST", "commit"): _commit,
    ("GET", "commits"): _commits,
    ("GET", "refs"): _refs,
    ("GET", "discussions"): _discussions,
    ("POST", "branch"): lambda *a: _set_ref("refs/heads/", *a),
    ("DELETE", "branch"): lambda *a: _drop_ref("refs/heads/", *a),
    ("POST", "tag"): lambda *a: _set_ref("refs/tags/", *a),
    ("DELETE", "tag"): lambda *a: _drop_ref("refs/tags/", *a),
}
