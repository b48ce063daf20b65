"""An S3 server on loopback: moto's, as a process that tests may talk to from several processes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

KEY, SECRET = "AKIATESTONLYNOTREAL", "the-secret-of-the-tests"

_SERVER = """
import logging, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
app = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()
def one_at_a_time(environ, start):  # S3 answers conditional writes atomically, moto's threads do not
    with lock:
        return app(environ, start)
logging.getLogger("werkzeug").disabled = True
server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


def require_s3() -> None:
    """Skip where s3fs or moto is missing; in CI that is a failure."""
    missing = [name for name in ("s3fs", "moto", "flask_cors") if importlib.util.find_spec(name) is None]
    if not missing:
        return
    reason = f"{', '.join(missing)} missing, so no store on S3 is tested: pip install -e '.[dev,s3]'"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class S3:
    """A running server with one bucket, and the environment in which clients find it."""

    env: dict[str, str]
    bucket: str = "outputs"
    client: Any = field(repr=False, default=None)

    def url(self, prefix: str) -> str:
        return f"s3://{self.bucket}/{prefix}"

    def names(self, prefix: str) -> list[str]:
        """The objects below a prefix, by their name below it."""
        base = f"{self.bucket}/{prefix}/"
        return sorted(name.removeprefix(base) for name in self.client.find(base))


@contextmanager
def s3_server(patch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The server while the block lasts; this process's environment names it meanwhile."""
    require_s3()
    import s3fs

    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            env = {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }  # fmt: skip
            for name, value in env.items():
                patch.setenv(name, value)
            client = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
            client.mkdir("outputs")
            yield S3(env=env, client=client)
        finally:
            server.kill()
