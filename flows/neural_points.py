"""The COMET scores of a run, as the report shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluate.report import NeuralPoint


def neural_points(scores: Mapping[str, Any]) -> list[NeuralPoint]:
    """Every model's score of every point; a point of the three systems is named by its chunk size."""
    return [
        NeuralPoint(
            model=model["model"], system=system, knob=point["knob"] or _chunk(scores, system, number),
            mean=point["mean"], n=point["n"], n_empty=point["n_empty"],
        )
        for model in scores.get("neural", ())
        for system, points in model["curves"].items()
        for number, point in enumerate(points)
    ]  # fmt: skip


def _chunk(scores: Mapping[str, Any], system: str, number: int) -> str:
    chunk_ms = scores["curves"][system][number]["chunk_ms"]
    return f"{chunk_ms} ms" if chunk_ms else "whole"
