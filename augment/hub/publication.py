"""Publication: a directory's files become one commit of a repository, or nothing does.

Each attempt begins by reading the head: what lies there already is not sent, and a commit whose answer was lost is
found instead of made again. `parent_commit` makes a second one impossible. Knows nothing of datasets and adapters.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationDelete

from augment.card import CARD_NAME, merge_card
from augment.hub.config import REPO
from augment.hub.diff import Diff, LocalFile, compare, local_file
from augment.hub.errors import HubError
from augment.hub.patience import Patience
from augment.hub.remote import Kind, Remote
from augment.hub.upload import Uploads, upload
from augment.hub.verify import verify_commit
from augment.manifest import MANIFEST_NAME

MAIN = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What a revision shall hold. `title` names the commit and carries the run id.

    `owned` are the prefixes below which nothing else may lie; `mark` is the key of manifest.json by which a
    repository is known to be ours; `rows` are the rows of each shard; `note` is for the one who publishes.
    """

    kind: Kind
    title: str
    files: Mapping[str, Path]
    card: str
    owned: tuple[str, ...]
    mark: str
    digest: str
    rows: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a parcel goes: a repository, and there `main`, a branch, or a pull request."""

    repo: str
    private: bool = True
    branch: str | None = None
    pull_request: bool = False
    tag: str | None = None

    def check(self) -> None:
        """Raise HubError for a name that is none, and for wishes that exclude each other."""
        if not re.fullmatch(REPO, self.repo):
            raise HubError(f"a repository is named NAMESPACE/NAME, got {self.repo!r}")
        if self.pull_request and (self.branch or self.tag):
            raise HubError(
                f"{self.repo}: a pull request excludes a branch and a tag; ask for one, and tag after merging"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What was published: `unchanged` when the revision held exactly this, and no commit was made.

    `added`, `changed` and `removed` are what the commit did, or in a dry run would do; `num_bytes` the size of the
    files added or changed, of which the storage may have had some.
    """

    status: Literal["published", "unchanged", "dry_run"]
    kind: Kind
    repo: str
    url: str
    private: bool
    revision: str
    commit: str | None
    tag: str | None
    pull_request: str | None
    digest: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    num_bytes: int
    note: str


def publish(
    parcel: Parcel, place: Place, remote: Remote, *, patience: Patience, dry_run: bool = False
) -> Publication:
    """Publish, tag, verify; HubError when the Hub refuses, when another's files would go, or when it is not whole."""
    place.check()
    patience.limit_silence()
    with remote.explained(), tempfile.TemporaryDirectory(prefix="simulsa-") as scratch:
        job = _Job(parcel, place, remote, Path(scratch))
        if dry_run:
            return patience(job.plan)
        private = patience(job.ensure_repository)
        patience(job.refuse_taken_tag)
        commit = patience(job.attempt)
        patience(lambda: job.verify(commit))
        patience(lambda: job.tag(commit))
        return job.result("published" if job.sent else "unchanged", commit, private)


class _Job:
    """One publication on its way; what an attempt learnt is kept for the next."""

    def __init__(self, parcel: Parcel, place: Place, remote: Remote, scratch: Path) -> None:
        self.parcel, self.place, self.remote, self.scratch = parcel, place, remote, scratch
        self.uploads = Uploads()
        self.files = {name: local_file(path) for name, path in parcel.files.items()}
        self.revision = place.branch or MAIN
        self.pull_request: str | None = None
        self.diff = Diff(added=(), changed=(), removed=(), num_bytes=0)
        self.sent = False

    def ensure_repository(self) -> bool:
        """Whether the repository is private; it is made when there is none."""
        private = self.remote.is_private()
        if private is None:
            self.remote.create(private=self.place.private)
            private = self.remote.is_private()
        return self.refuse_public(bool(private))

    def refuse_public(self, private: bool) -> bool:
        """Whether the repository is private, as it must be if that was asked for."""
        if self.place.private and not private:
            raise HubError(
                f"{self.place.repo} is public, but a private publication was asked for: say --public (private: "
                "false), or make the repository private on its settings page"
            )
        return private

    def refuse_taken_tag(self) -> None:
        """Fail before any upload when the tag names something else."""
        at = self.remote.tags().get(self.place.tag) if self.place.tag else None
        if at is not None and self.compare(at)[1]:
            raise HubError(
                f"{self.place.repo}: the tag {self.place.tag!r} names other content ({at[:12]}); choose another tag"
            )

    def attempt(self) -> str:
        """The commit that holds the parcel: the head if it does, else a new one on top of it."""
        self.revision = self._open_revision()
        head = self.remote.head(self.revision)
        local, diff = self.compare(head)
        if not diff:
            return self._ours(head) if self.sent else head
        pull = self.place.pull_request and self.revision == MAIN
        additions = [self.uploads.operation(name, local[name]) for name in (*diff.added, *diff.changed)]
        upload(self.remote, additions, self.revision, pull=pull)
        self.diff, self.sent = diff, True
        made = self.remote.api.create_commit(
            self.place.repo,
            [*additions, *(CommitOperationDelete(name, is_folder=False) for name in diff.removed)],
            commit_message=self.parcel.title,
            repo_type=self.parcel.kind,
            revision=self.revision,
            parent_commit=head,
            create_pr=pull,
        )
        if pull:
            self.revision, self.pull_request = f"refs/pr/{made.pr_num}", made.pr_url
        return made.oid

    def verify(self, commit: str) -> None:
        """Raise HubError unless the Hub holds every file and row of the parcel at `commit`."""
        _, wrong = self.compare(commit)
        verify_commit(self.remote, commit, wrong, self.parcel.rows)

    def tag(self, commit: str) -> None:
        """Give the commit its tag, unless a commit of the same content has it."""
        self.refuse_taken_tag()
        if self.place.tag and self.place.tag not in self.remote.tags():
            self.remote.api.create_tag(
                self.place.repo, tag=self.place.tag, revision=commit, repo_type=self.parcel.kind
            )

    def plan(self) -> Publication:
        """What a publication would do now; nothing is made or sent."""
        private = self.remote.is_private()
        if private is None:
            self.diff = compare(self.files | {CARD_NAME: self._card(None, "new")}, {}, self.parcel.owned)
            return self.result("dry_run", None, self.place.private)
        self.refuse_public(private)
        self.refuse_taken_tag()
        known = self.revision in self.remote.branches()
        _, self.diff = self.compare(self.remote.head(self.revision if known else MAIN))
        return self.result("dry_run", None, private)

    def compare(self, commit: str) -> tuple[dict[str, LocalFile], Diff]:
        """The files to publish on top of `commit`, its card's own sections included, and the difference to it."""
        there = self.remote.files(commit)
        card = self.remote.read(CARD_NAME, commit) if CARD_NAME in there else None
        local = self.files | {CARD_NAME: self._card(card, commit)}
        diff = compare(local, there, self.parcel.owned)
        foreign = {*diff.changed, *diff.removed} - {CARD_NAME}
        if foreign and not self._is_ours(commit):
            raise HubError(
                f"{self.place.repo} holds files that simulsa did not publish and that would be lost "
                f"({sorted(foreign)}): choose another repository"
            )
        return local, diff

    def result(
        self, status: Literal["published", "unchanged", "dry_run"], commit: str | None, private: bool
    ) -> Publication:
        return Publication(
            status=status, kind=self.parcel.kind, repo=self.place.repo, url=self.remote.url, private=private,
            revision=self.revision, commit=commit, tag=self.place.tag, pull_request=self.pull_request,
            digest=self.parcel.digest, added=self.diff.added, changed=self.diff.changed,
            removed=self.diff.removed, num_bytes=self.diff.num_bytes, note=self.parcel.note,
        )  # fmt: skip

    def _open_revision(self) -> str:
        """The revision to commit to: an open pull request of this title is gone on with, never doubled."""
        if self.place.pull_request:
            number = self.remote.pull_request(self.parcel.title)
            if number is None:
                return MAIN
            self.pull_request = f"{self.remote.url}/discussions/{number}"
            return f"refs/pr/{number}"
        if self.place.branch and self.place.branch not in self.remote.branches():
            self.remote.api.create_branch(
                self.place.repo, branch=self.place.branch, repo_type=self.parcel.kind, exist_ok=True
            )
        return self.revision

    def _ours(self, head: str) -> str:
        """The commit whose answer was lost; another may have followed it."""
        commits = self.remote.api.list_repo_commits(
            self.place.repo, repo_type=self.parcel.kind, revision=self.revision
        )
        return next((commit.commit_id for commit in commits if commit.title == self.parcel.title), head)

    def _is_ours(self, commit: str) -> bool:
        content = self.remote.read(MANIFEST_NAME, commit)
        try:
            return content is not None and self.parcel.mark in json.loads(content)
        except ValueError:
            return False

    def _card(self, remote_card: bytes | None, commit: str) -> LocalFile:
        path = self.scratch / f"{commit}.md"
        path.write_bytes(merge_card(self.parcel.card, remote_card).encode())
        return local_file(path)
