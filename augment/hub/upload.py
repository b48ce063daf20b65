"""Uploads: the content of new files reaches the Hub's storage before the commit that names it.

What the storage holds already is not sent again, so a publication that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import CommitOperationAdd

from augment.hub.diff import LocalFile
from augment.hub.errors import HUB_ERRORS, HubError
from augment.hub.remote import Remote

BATCH = 20
"""Files per round: a failure repeats one round at most."""


class Uploads:
    """The files that were handed over so far; one per publication, kept over its attempts."""

    def __init__(self) -> None:
        self._operations: dict[tuple[str, str], CommitOperationAdd] = {}

    def operation(self, name: str, file: LocalFile) -> CommitOperationAdd:
        """The addition of this content under this name; its digest is taken over, not computed again."""
        key = (name, file.sha256)
        if key not in self._operations:
            made = CommitOperationAdd(path_in_repo=name, path_or_fileobj=file.path)
            made.upload_info.sha256 = bytes.fromhex(file.sha256)
            self._operations[key] = made
        return self._operations[key]


def upload(remote: Remote, additions: Sequence[CommitOperationAdd], revision: str, *, pull: bool) -> None:
    """Send what the storage lacks, a batch at a time; raises the client's errors, bare of its wrapping."""
    for start in range(0, len(additions), BATCH):
        try:
            remote.api.preupload_lfs_files(
                remote.repo,
                additions[start : start + BATCH],
                repo_type=remote.kind,
                revision=revision,
                create_pr=pull,
                free_memory=False,
            )
        except HUB_ERRORS:
            raise
        except (RuntimeError, OSError) as error:  # the client wraps LFS errors, and Xet has its own
            if isinstance(error.__cause__, HUB_ERRORS):
                raise error.__cause__ from None
            raise HubError(f"{remote.repo}: the upload failed ({error} {error.__cause__ or ''})") from error
