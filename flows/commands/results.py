"""What to do with results: report, stream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.commands.common import RESULTS, ConfigName, Json, Set, answer, app


@app.command(group=RESULTS)
def report(config: ConfigName = "demo", /, *, set_: Set = None, json_: Json = False) -> None:
    """Write report.html and summary.json again from the stored results; says what is missing, computes nothing."""
    from flows.config import load_config
    from flows.rebuild_report import rebuild_report

    summary = rebuild_report(load_config(config, set_ or ()))
    answer(summary, json_, lambda result: print(f"report: {result['report']}"))


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
    answer(result, json_, lambda _: None)
