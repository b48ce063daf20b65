"""The evaluation stage of COMET models: every point of every curve, scored by one model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evaluate.neural import report_neural, translations_of
from lalm.comet import CometConfig
from tasks.comet import asking_comet, comet_scorer
from tasks.evaluate import Labelled, SpokenSet, traces_of
from tasks.reporting import Progress
from tasks.stage import stage_task
from tasks.store import Manifest, fingerprint
from tasks.workspace import Workspace

NEURAL_VERSION = 1


@stage_task("neural")
def score_neural(
    ws: Workspace, spoken: SpokenSet, streamed: Mapping[str, Sequence[Manifest]], config: CometConfig,
    policies: Labelled | None = None,
) -> Manifest:  # fmt: skip
    """Score every point of every curve with one COMET model: `neural.json`, in the order that `streamed` gives.

    A point of `policies` is told apart by its knob, one of `streamed` by its place.
    """
    curves = {name: [("", made) for made in points] for name, points in streamed.items()} | dict(
        policies or {}
    )
    checkpoint = comet_scorer(ws, config).checkpoint
    inputs = {
        "model": checkpoint.identity, "label": checkpoint.label,
        "texts": fingerprint([[u.id, u.src_text, u.tgt_text] for u in spoken.utterances]),
        "traces": {name: [[knob, made.digest] for knob, made in points] for name, points in curves.items()},
    }  # fmt: skip

    def write(out: Path) -> Mapping[str, Any]:
        flat = [(name, knob, made) for name, points in curves.items() for knob, made in points]
        reports: dict[str, list[dict[str, Any]]] = {name: [] for name in curves}
        with asking_comet(ws, config) as scorer:
            for number, (name, knob, made) in enumerate(flat):
                advance = partial(_advance, ws.progress(), number, len(flat))
                report = report_neural(translations_of(traces_of(made), spoken.utterances), scorer, advance)
                reports[name].append({"knob": knob, **report.to_json()})
        text = json.dumps({"model": checkpoint.label, "curves": reports}, allow_nan=False)
        (out / "neural.json").write_text(text)
        return {"model": checkpoint.label, "points": len(flat)}

    return ws.store.ensure("neural", NEURAL_VERSION, inputs, write)


def _advance(tell: Progress, point: int, points: int, done: int, total: int) -> None:
    """Progress within one point as progress of all, which have equally many utterances."""
    tell(point * total + done, points * total)
