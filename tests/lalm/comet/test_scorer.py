"""The real COMET in its own process: right scores, recorded once, and an end that is explained."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lalm.comet import CometConfig, CometError, CometScorer, Segment
from tests.support.comet import KINDS, checkpoint, expected, hollow_checkpoint, require_comet

NOWHERE = "/nonexistent/python"
SEGMENTS = [Segment(src=f"the man buys {n} apples", mt=f"der Mann kauft {n} Äpfel") for n in range(12)]


class Records(dict[str, dict[str, object]]):
    """A journal in memory; what was put is there, flushed or not."""

    def put(self, key: str, record: dict[str, object]) -> None:
        self[key] = record

    def flush(self) -> None: ...


def config(kind: str, **settings: Any) -> CometConfig:
    return CometConfig(model=str(checkpoint(kind)), **settings)


def altered(target: Path, kind: str, change: Any) -> CometConfig:
    """A copy of a checkpoint whose saved values went through `change`."""
    shutil.copytree(checkpoint(kind), target)
    path = target / "checkpoints" / "model.ckpt"
    values = torch.load(path, weights_only=True)
    change(values)
    torch.save(values, path)
    return CometConfig(model=str(target))


class WritesFile:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "a")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_worker_gives_the_scores_of_the_model_that_was_saved(kind: str) -> None:
    segments, scores = expected(kind)
    assert len(set(scores)) == len(scores)
    seen: list[tuple[int, int]] = []
    with CometScorer(config(kind, batch_size=3)) as scorer:
        twice = scorer.score([*segments, segments[0]], lambda *step: seen.append(step))
        assert twice == pytest.approx([*scores, scores[0]], abs=1e-4)
        assert (scorer.issued, seen) == (len(segments), [(5, 5)])
        without = [Segment(src=segment.src, mt=segment.mt) for segment in segments]
        if kind == "xcomet":
            assert scorer.score(without) != pytest.approx(scores, abs=1e-4)
        elif kind != "reference":
            assert scorer.score(without) == scorer.score(segments)


@pytest.mark.slow
def test_killed_worker_is_an_error_and_the_next_one_scores_only_the_rest() -> None:
    records = Records()

    def kill(done: int, total: int) -> None:
        os.kill(scorer.worker_pid or 0, signal.SIGKILL)

    with CometScorer(config("kiwi", batch_size=1), records) as scorer:
        with pytest.raises(CometError, match="status -9"):
            scorer.score(SEGMENTS, kill)
        assert (scorer.issued, scorer.worker_pid) == (8, None)
        scores = scorer.score(SEGMENTS)
        assert (scorer.issued, scorer.replayed) == (len(SEGMENTS), 8)
    with CometScorer(config("kiwi", python=NOWHERE), records) as again:
        assert again.score(SEGMENTS) == scores
        assert (again.issued, again.worker_pid) == (0, None)


@pytest.mark.slow
def test_pickle_that_runs_code_is_refused_unless_it_is_trusted(tmp_path: Path) -> None:
    made = tmp_path / "made"
    settings = altered(
        tmp_path / "model", "kiwi", lambda saved: saved["hyper_parameters"].update(extra=WritesFile(made))
    )
    with CometScorer(settings) as scorer, pytest.raises(CometError, match="set trust_pickle"):
        scorer.score(SEGMENTS)
    assert not made.exists()
    with CometScorer(settings.model_copy(update={"trust_pickle": True})) as scorer:
        scorer.score(SEGMENTS[:1])
    assert made.exists()


@pytest.mark.slow
def test_checkpoint_that_lacks_a_weight_is_refused_rather_than_left_at_random(tmp_path: Path) -> None:
    name = "estimator.ff.0.weight"
    settings = altered(tmp_path / "model", "kiwi", lambda saved: saved["state_dict"].pop(name))
    with CometScorer(settings) as scorer, pytest.raises(CometError, match=name):
        scorer.score(SEGMENTS)


@pytest.mark.slow
def test_worker_that_dies_says_its_last_words(tmp_path: Path) -> None:
    gone = str(tmp_path / "encoder")
    settings = altered(
        tmp_path / "model", "kiwi", lambda saved: saved["hyper_parameters"].update(pretrained_model=gone)
    )
    with CometScorer(settings) as scorer, pytest.raises(CometError, match=f"last words:(.|\n)*{gone}"):
        scorer.score(SEGMENTS)


def test_file_that_torch_never_saved_is_refused(tmp_path: Path) -> None:
    require_comet()
    settings = CometConfig(model=str(hollow_checkpoint(tmp_path / "model")))
    with CometScorer(settings) as scorer, pytest.raises(CometError, match="download the checkpoint again"):
        scorer.score(SEGMENTS)


def test_silent_worker_is_ended_after_its_time(tmp_path: Path) -> None:
    require_comet()
    settings = CometConfig(model=str(hollow_checkpoint(tmp_path / "model")), timeout_s=0.001)
    with CometScorer(settings) as scorer, pytest.raises(CometError, match=r"timeout_s=0\.001"):
        scorer.score(SEGMENTS)


def test_environment_without_comet_is_told_how_to_get_it(tmp_path: Path) -> None:
    settings = CometConfig(model=str(hollow_checkpoint(tmp_path / "model")), python=sys.executable)
    with (
        CometScorer(settings) as scorer,
        pytest.raises(CometError, match=r"unbabel-comet none, not .*make comet"),
    ):
        scorer.score(SEGMENTS)
