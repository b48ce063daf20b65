"""Verification: a commit counts when the Hub itself names every digest, and its shards hold the rows they should."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem

from augment.hub.diff import Diff
from augment.hub.errors import HubError
from augment.hub.remote import Remote


def verify_commit(remote: Remote, commit: str, wrong: Diff, rows: Mapping[str, int]) -> None:
    """Raise HubError unless nothing is `wrong` between the parcel and `commit`, and each shard has its `rows`."""
    if wrong:
        raise HubError(
            f"{remote.repo}@{commit[:12]} is not what was published: missing {list(wrong.added)}, "
            f"different {list(wrong.changed)}, left over {list(wrong.removed)}; look for a .gitignore there that "
            "leaves files out, and publish again"
        )
    files = HfFileSystem(endpoint=remote.endpoint, token=remote.api.token, skip_instance_cache=True)
    prefix = "datasets/" if remote.kind == "dataset" else ""
    for name, wanted in rows.items():
        found = _rows(files, f"{prefix}{remote.repo}@{quote(commit, safe='')}/{name}")
        if found != wanted:
            raise HubError(
                f"{remote.repo}@{commit[:12]}: {name} must have {wanted} rows but has {found}; publish again"
            )


def _rows(files: HfFileSystem, place: str) -> int:
    """The rows of a remote Parquet file, from its footer alone."""
    try:
        with files.open(place, "rb", block_size=2**16) as stream:
            rows: int = pq.read_metadata(stream).num_rows
    except pa.ArrowInvalid as error:
        raise HubError(f"{place} is no Parquet file ({error}); publish again") from error
    return rows
