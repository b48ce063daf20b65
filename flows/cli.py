"""The `simulsa` command. Heavy libraries are imported by the command that needs them, so --help is quick.

Every command takes --json: stdout is then one JSON object and nothing else; progress goes to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Group, Parameter

from lalm.errors import SimulsaError

app = App(
    name="simulsa",
    help="Turn an offline speech-translation corpus and an audio LLM into a simultaneous translator (SimulSA).\n\n"
    "Start with `simulsa run demo`; then `simulsa init my.yaml` and `simulsa run my.yaml --dry-run`.",
    version_flags=["--version"],
)
config_app = App(name="config", help="Look at configurations.")
app.command(config_app)

PIPELINE = Group("Pipeline", sort_key=1)
RESULTS = Group("Results", sort_key=2)
SETUP = Group("Set-up", sort_key=3)

ConfigName = Annotated[str, Parameter(help="A profile (demo, tiny) or a YAML file from `simulsa init`.")]
Set = Annotated[
    list[str] | None,
    Parameter(name="--set", help="Override one key, e.g. --set finetune.steps=100. Repeatable.", negative=()),
]
DryRun = Annotated[
    bool, Parameter(help="Show what would be done and what it would cost; do nothing.", negative=())
]
Json = Annotated[bool, Parameter(name="--json", help="Print one JSON object on stdout.", negative=())]


def main() -> None:
    """Run the command line; an error that the user can mend is one message and exit code 2, never a traceback."""
    _quiet_libraries()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # leave through the exits that stop what was started
    arguments = sys.argv[1:]
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except (SimulsaError, CycloptsError, OSError) as error:
        _fail(error, str(error), 2)
    except KeyboardInterrupt as stop:
        _fail(stop, "stopped; the same command continues from what is finished", 130)


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


@app.command(group=PIPELINE)
def run(
    config: ConfigName = "demo", /, *, set_: Set = None, dry_run: DryRun = False, json_: Json = False
) -> None:
    """Run the whole pipeline: build the dataset, fine-tune, evaluate, report.

    Stop it at any time; the same command continues from the finished shards, checkpoints and requests.
    """
    _pipeline("run_simulsa", config, set_, dry_run, json_)


@app.command(group=PIPELINE)
def build(
    config: ConfigName = "demo", /, *, set_: Set = None, dry_run: DryRun = False, json_: Json = False
) -> None:
    """Build the dataset of simultaneous examples: truncate, generate, assemble."""
    _pipeline("build_dataset", config, set_, dry_run, json_)


@app.command(group=PIPELINE)
def finetune(
    config: ConfigName = "demo", /, *, set_: Set = None, dry_run: DryRun = False, json_: Json = False
) -> None:
    """Train the control and the SimulSA adapter with LoRA; builds the dataset first if needed."""
    _pipeline("finetune_lalm", config, set_, dry_run, json_)


@app.command(group=PIPELINE)
def evaluate(
    config: ConfigName = "demo", /, *, set_: Set = None, dry_run: DryRun = False, json_: Json = False
) -> None:
    """Measure quality against latency in a streaming simulation; makes dataset and adapters first if needed."""
    _pipeline("evaluate_streaming", config, set_, dry_run, json_)


def _pipeline(name: str, source: str, overrides: list[str] | None, dry_run: bool, as_json: bool) -> None:
    from flows.config import load_config

    config = load_config(source, overrides or ())
    if dry_run:
        from flows.plan import plan_run, print_plan

        _answer(plan_run(config), as_json, print_plan)
        return
    from importlib import import_module

    from flows.outcome import print_outcome
    from flows.session import session_for

    with session_for(config):  # model and corpus are checked before the flow engine starts
        flow: Callable[..., Any] = getattr(import_module(f"flows.{name}"), name)
        summary = _run_flow(flow, config)
    _answer(summary, as_json, lambda result: print_outcome(result, source))


def _run_flow(flow: Callable[..., Any], config: object) -> dict[str, Any]:
    """Run a flow; a Prefect server that was named but does not answer is the user's to mend."""
    try:
        summary: dict[str, Any] = flow(config)
    except RuntimeError as error:
        if "Failed to reach API" not in str(error):
            raise
        raise SimulsaError(
            f"{error}: start that Prefect server, or unset PREFECT_API_URL to use a temporary one"
        ) from error
    return summary


def _answer(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
    else:
        show(result)


@app.command(group=RESULTS)
def report(config: ConfigName = "demo", /, *, set_: Set = None, json_: Json = False) -> None:
    """Write report.html and summary.json again from the stored results; says what is missing, computes nothing."""
    from flows.config import load_config
    from flows.rebuild_report import rebuild_report

    summary = rebuild_report(load_config(config, set_ or ()))
    _answer(summary, json_, lambda result: print(f"report: {result['report']}"))


@app.command(group=RESULTS)
def publish(
    dataset: Annotated[Path, Parameter(help="A dataset directory, e.g. outputs/demo/dataset.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="The directory to publish to; replaced whole or not at all.")],
    dry_run: DryRun = False,
    json_: Json = False,
) -> None:
    """Publish a dataset to a directory, atomically; audio goes along only where its licence allows it."""
    from flows.outcome import print_published, published

    _answer(published(dataset, to, dry_run=dry_run), json_, print_published)


@app.command(group=RESULTS)
def stream(
    audio: Annotated[Path, Parameter(help="A WAV, FLAC, OGG or MP3 file.")],
    /,
    *,
    chunk_ms: Annotated[int, Parameter(help="Audio per step, in ms: smaller is faster and harder.")] = 640,
    adapter: Annotated[
        Path | None, Parameter(help="An adapter directory; none streams the base model.")
    ] = None,
    config: Annotated[str, Parameter(help="Where model and language pair come from.")] = "demo",
    set_: Set = None,
    fast: Annotated[bool, Parameter(help="Do not wait for the audio to play.", negative=())] = False,
    json_: Json = False,
) -> None:
    """Translate one file while it plays: words appear when the model decides to write them."""
    from flows.config import load_config
    from flows.stream_audio import stream_audio

    result = stream_audio(
        load_config(config, set_ or ()),
        audio,
        chunk_ms=chunk_ms,
        adapter=adapter,
        wait=not fast,
        show=not json_,
    )
    _answer(result, json_, lambda _: None)


@app.command(group=SETUP)
def init(
    path: Annotated[Path, Parameter(help="The YAML file to write; an existing one is kept.")] = Path(
        "simulsa.yaml"
    ),
    /,
    *,
    json_: Json = False,
) -> None:
    """Write a commented configuration for Qwen2-Audio-7B and your corpus."""
    from flows.init_config import write_template

    write_template(path)
    _answer(
        {"config": str(path)}, json_, lambda _: print(f"wrote {path}; next: simulsa run {path} --dry-run")
    )


@app.command(group=SETUP)
def doctor(*, json_: Json = False) -> None:
    """Check this machine: Python, libraries, device, disk, Prefect, the Hub token (never shown)."""
    from flows.doctor import diagnose, print_diagnosis

    result = diagnose()
    _answer(result, json_, print_diagnosis)
    if not result["healthy"]:
        sys.exit(1)


@config_app.command(name="show")
def config_show(config: ConfigName = "demo", /, *, set_: Set = None, json_: Json = False) -> None:
    """Print a configuration with every default spelled out."""
    from flows.config import dump_config, load_config

    loaded = load_config(config, set_ or ())
    _answer(loaded.model_dump(mode="json"), json_, lambda _: print(dump_config(loaded), end=""))


if __name__ == "__main__":
    main()
