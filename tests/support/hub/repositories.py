"""Repositories of the test Hub: refs, commits and content-addressed objects, kept in a directory.

Knows nothing of HTTP. Every change is on disk before it is answered, so a killed server comes back as it was.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LFS_SUFFIXES = (".parquet", ".safetensors", ".png", ".bin")


class RefusalError(Exception):
    """An answer other than 2xx: status, and the code that the client reads from X-Error-Code."""

    def __init__(self, status: int, code: str, message: str = "", body: dict[str, Any] | None = None) -> None:
        super().__init__(message or code)
        self.status, self.code, self.body = status, code, body or {}


@dataclass(frozen=True, slots=True)
class File:
    """A file of a commit: sha256 of its content, its size, its git blob id, and whether it is an LFS object."""

    sha256: str
    size: int
    oid: str
    lfs: bool


@dataclass(frozen=True, slots=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, File]


@dataclass(slots=True)
class Repository:
    """One repository; `refs` maps full names (`refs/heads/main`) to commit ids."""

    kind: str
    name: str
    private: bool
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    pulls: list[str] = field(default_factory=list)
    """Titles; pull request N is `pulls[N - 1]`, its head `refs/pr/N`."""

    def resolve(self, revision: str) -> Commit:
        """The commit of a branch, tag, full ref, or (abbreviated) commit id."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in self.refs:
                return self.commits[self.refs[name]]
        found = [oid for oid in self.commits if len(revision) >= 7 and oid.startswith(revision)]
        if len(found) != 1:
            raise RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[found[0]]

    def history(self, revision: str = "main") -> list[Commit]:
        """The commits of a revision, the newest first."""
        commit: Commit | None = self.resolve(revision)
        line = []
        while commit is not None:
            line.append(commit)
            commit = self.commits[commit.parent] if commit.parent else None
        return line


class Repositories:
    """All repositories below one directory."""

    def __init__(self, directory: Path) -> None:
        self.lock = threading.RLock()
        self.objects = directory / "objects"
        self._state = directory / "state.json"
        self.objects.mkdir(parents=True, exist_ok=True)
        self._repositories = self._load()

    def get(self, kind: str, name: str) -> Repository:
        try:
            return self._repositories[f"{kind}s/{name}"]
        except KeyError:
            raise RefusalError(404, "RepoNotFound", "Repository not found") from None

    def create(self, kind: str, name: str, *, private: bool) -> Repository:
        """A new repository with the Hub's own first commit."""
        with self.lock:
            if f"{kind}s/{name}" in self._repositories:
                raise RefusalError(409, "", f"You already created this {kind} repo: {name}")
            made = self._repositories[f"{kind}s/{name}"] = Repository(kind, name, private)
            attributes = self.blob(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")
            self._advance(made, "refs/heads/main", None, "initial commit", {".gitattributes": attributes})
        return made

    def delete(self, kind: str, name: str) -> None:
        with self.lock:
            self.get(kind, name)
            del self._repositories[f"{kind}s/{name}"]
            self.save()

    def commit(
        self, repository: Repository, revision: str, lines: list[dict[str, Any]], *, pull: bool
    ) -> tuple[Commit, int]:
        """Apply the lines of a commit; returns it and the number of its pull request (0: none)."""
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.lock:
            head = repository.resolve(revision)
            if header.get("parentCommit") not in (None, head.oid):
                raise RefusalError(412, "", "A commit has happened since. Please refresh and try again.")
            files = dict(head.files)
            for line in lines:
                self._apply(files, line["key"], line["value"])
            if pull:
                repository.pulls.append(header["summary"])
            number = len(repository.pulls) if pull else 0
            heads = f"refs/heads/{revision}"
            ref = f"refs/pr/{number}" if pull else heads if heads in repository.refs else revision
            return self._advance(repository, ref, head.oid, header["summary"], files), number

    def push(self, repository: Repository, files: dict[str, bytes], title: str = "edit by hand") -> Commit:
        """What a person does on the web page: one more commit on main."""
        with self.lock:
            head = repository.resolve("main")
            blobs = {path: self.blob(content) for path, content in files.items()}
            return self._advance(repository, "refs/heads/main", head.oid, title, head.files | blobs)

    def _apply(self, files: dict[str, File], key: str, value: dict[str, Any]) -> None:
        if key == "file":
            files[value["path"]] = self.blob(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if not self.has(value["oid"]):
                raise RefusalError(400, "", "LFS pointer pointed to a file that does not exist")
            files[value["path"]] = self.pointer(value["oid"])
        elif key == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise RefusalError(404, "EntryNotFound", "A file with this name doesn't exist")
        elif key == "deletedFolder":
            for path in [p for p in files if p.startswith(value["path"].rstrip("/") + "/")]:
                del files[path]

    def _advance(
        self, repository: Repository, ref: str, parent: str | None, title: str, files: dict[str, File]
    ) -> Commit:
        content = json.dumps([parent, title, {path: asdict(f) for path, f in sorted(files.items())}])
        commit = Commit(hashlib.sha1(content.encode()).hexdigest(), parent, title, files)
        repository.commits[commit.oid] = commit
        repository.refs[ref] = commit.oid
        self.save()
        return commit

    def blob(self, content: bytes) -> File:
        """A regular file, its content stored."""
        return File(self.store(content), len(content), git_oid(content), lfs=False)

    def pointer(self, sha256: str) -> File:
        """An LFS file, its object stored already."""
        size = (self.objects / sha256).stat().st_size
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return File(sha256, size, git_oid(text.encode()), lfs=True)

    def store(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self._write(self.objects / sha256, content)
        return sha256

    def has(self, sha256: str) -> bool:
        return (self.objects / sha256).is_file()

    def read(self, sha256: str) -> bytes:
        return (self.objects / sha256).read_bytes()

    def save(self) -> None:
        """Put the refs and commits on disk, whole."""
        content = {key: asdict(repository) for key, repository in self._repositories.items()}
        self._write(self._state, json.dumps(content).encode())

    def _write(self, path: Path, content: bytes) -> None:
        draft = path.with_name(f"{path.name}.{threading.get_ident()}.tmp")
        draft.write_bytes(content)
        draft.replace(path)

    def _load(self) -> dict[str, Repository]:
        if not self._state.is_file():
            return {}
        found = {key: Repository(**value) for key, value in json.loads(self._state.read_text()).items()}
        for repository in found.values():
            repository.commits = {oid: _commit(value) for oid, value in repository.commits.items()}
        return found


def _commit(value: Any) -> Commit:
    files = {path: File(**file) for path, file in value["files"].items()}
    return Commit(value["oid"], value["parent"], value["title"], files)


def git_oid(content: bytes) -> str:
    """The git blob id of a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
