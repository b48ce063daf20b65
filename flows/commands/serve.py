"""Set-up: serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from flows.commands.common import SETUP, ConfigName, Json, Set, answer, app


@app.command(group=SETUP)
def serve(
    config: ConfigName = "demo",
    /,
    *,
    host: Annotated[str, Parameter(help="Address to listen on; 0.0.0.0 is every one of them.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on.")] = 8000,
    adapter: Annotated[
        list[Path] | None,
        Parameter(help="An adapter to serve beside the base model. Repeatable.", negative=()),
    ] = None,
    set_: Set = None,
    print_: Annotated[
        bool, Parameter(name="--print", help="Only print the command that starts the server.", negative=())
    ] = False,
    json_: Json = False,
) -> None:
    """Serve the configured model with vLLM until Ctrl-C, for any number of runs.

    The server is checked with a canary request before it is announced, and started again when it dies. What is printed
    then goes into the configuration of a run. An API key is read from the environment variable that
    engine.api_key_variable names. --print needs no vLLM here; with --set model.device=cuda it prints the command for a
    machine with a GPU.
    """
    from flows.config import load_config
    from flows.serve import describe_command, describe_serving, say_on_stderr
    from flows.serve import serve as serve_model

    loaded = load_config(config, set_ or ())
    serving = describe_serving(loaded, host=host, port=port, adapters=adapter or ())
    if print_:
        answer(describe_command(serving), json_, _show_command)
        return

    def ready(announcement: dict[str, Any]) -> None:
        answer(announcement, json_, _show)
        sys.stdout.flush()  # whoever reads the pipe waits for exactly this

    try:
        serve_model(
            serving, log=loaded.run_dir / "logs" / f"serve-{port}.log", ready=ready, say=say_on_stderr
        )
    except KeyboardInterrupt:
        say_on_stderr("stopped")


def _show_command(result: dict[str, Any]) -> None:
    """The command alone on stdout, so that it can be piped into a file; what to know about it on stderr."""
    from flows.serve import say_on_stderr

    print(result["command"])
    for note in result["notes"]:
        say_on_stderr(note)


def _show(result: dict[str, Any]) -> None:
    print(f"serving {result['model']} at {result['url']}")
    for name, path in result["adapters"].items():
        print(f"adapter {name}: {path}")
    print(f"next:   simulsa run CONFIG {result['settings']}")
    print(f"on other machines:\n  {result['command']}")
    for note in result["notes"]:
        print(f"  ({note})")
    print("Ctrl-C stops it")
