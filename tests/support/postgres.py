"""A real PostgreSQL on loopback: Debian's binaries, a cluster of its own that ends with the block.

PostgreSQL refuses to run as root; root hands the cluster to Debian's user `postgres`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lalm.vllm.server import free_port

DEBIAN = Path("/usr/lib/postgresql")
USER = "postgres"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
}


def find_binaries() -> Path | None:
    """The directory of initdb and pg_ctl, newest version first; None where PostgreSQL is not installed."""
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("pg_ctl")
    return Path(on_path).resolve().parent if on_path else None


def require_postgres() -> Path:
    """Where its binaries are; skips where there are none, which in CI is a failure."""
    binaries = find_binaries()
    if binaries is None:
        reason = "PostgreSQL is not installed, so no Prefect server runs on it: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return binaries


@contextmanager
def running_postgres(binaries: Path) -> Iterator[str]:
    """A fresh cluster; gives the SQLAlchemy address of its database, password included."""
    root = Path(tempfile.mkdtemp(prefix="simulsa-postgres-"))
    try:
        with _server(binaries, root) as url:
            yield url
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _server(binaries: Path, root: Path) -> Iterator[str]:
    port, password, data = free_port("127.0.0.1"), secrets.token_hex(16), root / "data"
    secret = root / "password"
    secret.write_text(password)
    _hand_over(root, secret)
    initdb = ["initdb", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--encoding=UTF8"]
    _run(binaries, [*initdb, "--locale=C.UTF-8", "--no-sync", f"--pgdata={data}"])
    options = SETTINGS | {"port": str(port), "unix_socket_directories": str(root)}
    flags = " ".join(f"-c {name}={value}" for name, value in options.items())
    control = ["pg_ctl", f"--pgdata={data}"]
    _run(binaries, [*control, "start", "--wait", f"--log={root / 'log'}", f"--options={flags}"])
    try:
        yield f"postgresql+asyncpg://{USER}:{password}@127.0.0.1:{port}/postgres"
    finally:
        _run(binaries, [*control, "stop", "--mode=immediate"])


def _hand_over(*paths: Path) -> None:
    """Give what PostgreSQL must read to the user it runs as."""
    if os.geteuid() == 0:
        owner = pwd.getpwnam(USER)
        for path in paths:
            os.chown(path, owner.pw_uid, owner.pw_gid)


def _run(binaries: Path, command: list[str]) -> None:
    """Run one of PostgreSQL's commands; what it says is in the error when it fails."""
    user = USER if os.geteuid() == 0 else None
    done = subprocess.run(
        [str(binaries / command[0]), *command[1:]],
        user=user, group=user, extra_groups=[] if user else None, cwd="/", check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{command[0]} failed with {done.returncode}:\n{done.stdout}")
