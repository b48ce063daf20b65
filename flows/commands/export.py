"""What to do with results: export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from flows.commands.common import RESULTS, Json, answer, app


@app.command(group=RESULTS)
def export(
    dataset: Annotated[Path, Parameter(help="A dataset with its audio, e.g. outputs/demo/dataset.")],
    /,
    *,
    format_: Annotated[
        Literal["ms-swift", "llamafactory", "nemo", "trl"],
        Parameter(name="--format", help="The tool that will train (trl: also plain transformers)."),
    ],
    to: Annotated[Path, Parameter(help="The directory to write; only an earlier export is replaced.")],
    audio_label: Annotated[
        str | None,
        Parameter(
            help="llamafactory: the text before the audio; by default 'Audio 1: ' for Qwen2-Audio, '' for others."
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Write a dataset as another tool's training files: audio files beside a manifest, with relative paths.

    The same dataset gives the same bytes, in one step or not at all; what no export wrote is kept. The formats are in
    docs/exports.md. Example: `simulsa export outputs/demo/dataset --format ms-swift --to exported`.
    """
    from augment.exports import FORMATS, ExportError, export_dataset
    from augment.exports.llamafactory import llamafactory

    if audio_label is not None and format_ != "llamafactory":
        raise ExportError(
            f"--audio-label has no meaning for {format_}, which writes the model's own text around the audio"
        )
    format = FORMATS[format_] if audio_label is None else llamafactory(audio_label)
    result = export_dataset(dataset, to, format)
    answer(asdict(result) | {"target": str(result.target)}, json_, _show)


def _show(result: dict[str, Any]) -> None:
    print(
        f"{result['status']}: {result['rows']} rows ({result['empty_targets']} with an empty target), "
        f"{result['audio_s']:.1f} s of audio, {result['num_bytes'] / 1e6:.1f} MB -> {result['target']}"
    )
    print(f"licence: {result['license']}")
    print(f"next: {result['usage']}")
