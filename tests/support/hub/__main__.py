"""The test Hub as a process: prints its address on one line and serves until it is killed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.support.hub.faults import Fault
from tests.support.hub.server import Hub


def main() -> None:
    """Serve `--state` on `--port` (0: any free one); each `--fault` is a Fault as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--fault", action="append", default=[])
    arguments = parser.parse_args()
    hub = Hub(arguments.state, arguments.port)
    for text in arguments.fault:
        hub.faults.add(Fault(**json.loads(text)))
    print(hub.url, flush=True)
    hub.serve_forever()


if __name__ == "__main__":
    main()
