"""A Hub for tests, on loopback: it speaks the protocol of the real one to the real client.

    with running_hub(tmp_path / "hub") as hub:
        HfApi(endpoint=hub.url, token=hub.token).create_repo("toy/data", repo_type="dataset")

`python -m tests.support.hub --port 0 --state DIR` runs it as a process of its own, to be killed and started again.
"""

from tests.support.hub.faults import Fault
from tests.support.hub.repositories import Repositories, Repository
from tests.support.hub.server import READ_TOKEN, TOKEN, Hub, running_hub

__all__ = ["READ_TOKEN", "TOKEN", "Fault", "Hub", "Repositories", "Repository", "running_hub"]
