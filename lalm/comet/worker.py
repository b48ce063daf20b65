"""The COMET worker: runs in COMET's environment, so it imports nothing of simulsa and is run by its path.

The first line on stdin says what to load; every further line holds segments and is answered with one line of scores.
It ends with its stdin. Whatever libraries print goes to stderr: stdout holds answers only.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pickle import UnpicklingError
from typing import Any


class RefusedError(Exception):
    """A reason that the other side knows a remedy for, and the facts."""


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    requests = map(json.loads, sys.stdin)
    opening = next(requests)
    try:
        model = load(opening)
    except RefusedError as refused:
        answer({"refused": refused.args[0], "detail": refused.args[1]})
        return
    answer({"ready": True})
    for request in requests:
        answer({"scores": score(model, request["segments"], opening)})


def load(opening: dict[str, Any]) -> Any:
    """COMET's own loading, except that a checkpoint may hold nothing but tensors and plain values."""
    path = opening["checkpoint"]
    _check_version(opening["unbabel-comet"])
    if not zipfile.is_zipfile(path):
        raise RefusedError("damaged", f"{path} is not an archive of torch.save")
    # Read by torch.load itself: they also bind the loads that COMET and Lightning do.
    rule = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" if opening["trust_pickle"] else "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    for name in ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"):
        os.environ.pop(name, None)
    os.environ[rule] = "1"
    import torch
    from comet import load_from_checkpoint  # type: ignore[import-not-found]

    try:
        model = load_from_checkpoint(path)
        given = torch.load(path, map_location="cpu", mmap=True)["state_dict"]
    except UnpicklingError as error:
        raise RefusedError("pickle", f"{path}: {error}") from error
    absent = [name for name, _ in model.named_parameters() if name not in given]
    if absent:  # COMET would leave them at random
        raise RefusedError("damaged", f"{path} lacks {len(absent)} weights, among them {absent[0]}")
    return model


def _check_version(wanted: str) -> None:
    try:
        found = version("unbabel-comet")
    except PackageNotFoundError:
        found = "none"
    if found != wanted:
        raise RefusedError("version", f"{sys.executable} has unbabel-comet {found}, not {wanted}")


def score(model: Any, segments: list[dict[str, str]], opening: dict[str, Any]) -> list[float]:
    """A score per segment, in their order."""
    prediction = model.predict(
        segments,
        batch_size=opening["batch_size"],
        gpus=int(opening["device"] == "cuda"),
        accelerator=opening["device"],
        num_workers=0,
        progress_bar=False,
    )
    return [float(value) for value in prediction["scores"]]


if __name__ == "__main__":
    main()
