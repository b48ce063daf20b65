"""The `simulsa` command: environment, signals and errors; the commands themselves are in flows/commands.

Every command takes --json: stdout is then one JSON object and nothing else; progress goes to stderr.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import NoReturn

from cyclopts import CycloptsError

from flows.commands import (  # noqa: F401 - importing registers the commands
    export,
    gc,
    inspect,
    materialize,
    merge,
    pipeline,
    publish,
    results,
    runs,
    score,
    serve,
    setup,
)
from flows.commands.common import app
from flows.interrupt import install
from lalm.errors import SimulsaError


def main() -> None:
    """Run the command line; an error that the user can mend is one message and exit code 2, never a traceback."""
    _quiet_libraries()
    install()
    arguments = sys.argv[1:]
    try:
        _run(arguments)
    except BrokenPipeError as error:
        if not _reader_left():
            _fail(error, str(error), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as a shell reports a reader that left, `simulsa ... | head`
    except (SimulsaError, CycloptsError, OSError) as error:
        _fail(error, str(error), 2)
    except KeyboardInterrupt as stop:
        _fail(stop, "stopped; the same command continues from what is finished", 130)


def _run(arguments: list[str]) -> None:
    """One command, and its output handed over: a reader that left is noticed here, not at the interpreter's exit."""
    try:
        app(arguments, exit_on_error=False, print_error=False)
    finally:
        sys.stdout.flush()


def _reader_left() -> bool:
    """Whether stdout is a pipe that nobody reads any more; a socket or a child may break too."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _fail(error: BaseException, message: str, code: int) -> NoReturn:
    """Say what is wrong on stderr, and with --json as the one object on stdout."""
    if "--json" in sys.argv:
        print(json.dumps({"error": {"type": type(error).__name__, "message": message}}))
    print(f"simulsa: {message}", file=sys.stderr)
    sys.exit(code)


def _quiet_libraries() -> None:
    """Defaults that the user's own environment overrides: no telemetry, no noise, room to start the server."""
    defaults = {
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    main()
