"""One repository on the Hub as a publication sees it: its heads, files, tags and pull requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # reexported without saying so
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)

from augment.hub.errors import HUB_ERRORS, explain

Kind = Literal["dataset", "model"]


class Remote:
    """A repository, named and typed, seen with one token; every method is one or few requests, none repeated."""

    def __init__(self, repo: str, kind: Kind, *, token: str | None, endpoint: str | None = None) -> None:
        self.repo = repo
        self.kind = kind
        self.api = HfApi(endpoint=endpoint, token=token or False)
        self.endpoint = self.api.endpoint
        self._token = token

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the client raises into a HubError that names this repository."""
        try:
            yield
        except HUB_ERRORS as error:
            explain(error, self.repo, self.endpoint, self._token)

    @property
    def url(self) -> str:
        """The page of the repository."""
        return f"{self.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"

    def is_private(self) -> bool | None:
        """Who can read it; None when there is no such repository yet."""
        try:
            return bool(self.api.repo_info(self.repo, repo_type=self.kind).private)
        except RepositoryNotFoundError as error:
            if (
                error.response.status_code != 404
            ):  # without a good token a missing one looks like a hidden one
                raise
            return None

    def create(self, *, private: bool) -> None:
        """Make the repository, empty. One request: the client's own call repeats one kind of 409 without an end."""
        owner, name = self.repo.split("/")
        wanted = {"type": self.kind, "organization": owner, "name": name}
        answer = get_session().post(
            f"{self.endpoint}/api/repos/create",
            headers=build_hf_headers(token=self._token or False),
            json=wanted | {"visibility": "private" if private else "public"},
        )
        hf_raise_for_status(answer)

    def head(self, revision: str) -> str:
        """The commit that a branch, tag or pull request points at."""
        commit: str | None = self.api.repo_info(self.repo, repo_type=self.kind, revision=revision).sha
        assert commit is not None
        return commit

    def files(self, revision: str) -> dict[str, RepoFile]:
        """Every file of a revision, with its size and digest."""
        tree = self.api.list_repo_tree(self.repo, repo_type=self.kind, revision=revision, recursive=True)
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    def read(self, name: str, revision: str) -> bytes | None:
        """The content of a small file; None where the revision has no such file."""
        url = hf_hub_url(self.repo, name, repo_type=self.kind, revision=revision, endpoint=self.endpoint)
        response = get_session().get(url, headers=build_hf_headers(token=self._token or False))
        try:
            hf_raise_for_status(response)
        except RemoteEntryNotFoundError:
            return None
        content: bytes = response.content
        return content

    def branches(self) -> dict[str, str]:
        """Commits by branch."""
        refs = self.api.list_repo_refs(self.repo, repo_type=self.kind)
        return {ref.name: ref.target_commit for ref in refs.branches}

    def tags(self) -> dict[str, str]:
        """Commits by tag."""
        refs = self.api.list_repo_refs(self.repo, repo_type=self.kind)
        return {ref.name: ref.target_commit for ref in refs.tags}

    def pull_request(self, title: str) -> int | None:
        """The number of the open pull request with this title."""
        found = self.api.get_repo_discussions(
            self.repo, repo_type=self.kind, discussion_type="pull_request", discussion_status="open"
        )
        return next((entry.num for entry in found if entry.is_pull_request and entry.title == title), None)
