"""Publications to one repository take turns on this machine, so that the second finds what the first one sent.

Between machines nothing is needed for safety: a commit names its parent, and the Hub refuses a second one on the same.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants

from augment.hub.remote import Remote


@contextmanager
def turn(remote: Remote) -> Iterator[None]:
    """Wait for the publications of other processes to this repository; each of them ends by its own patience."""
    locks = Path(constants.HF_HUB_CACHE) / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    name = f"simulsa-publish--{remote.kind}--{remote.repo.replace('/', '--')}.lock"
    with (locks / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
