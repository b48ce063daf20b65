"""What a stage needs before it is made, and when the workspace of a run stops, closes and is made anew elsewhere."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from lalm.engine_config import EngineConfig
from lalm.loading import ModelConfig
from tasks.checks import needs_of
from tasks.store import Store
from tasks.workspace import StoppedError, Workspace
from tests.support.micro import random_micro_lalm


class Closable:
    """All that the accelerator asks of an engine that nobody asks anything."""

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    return ModelConfig(path=str(random_micro_lalm(tmp_path_factory.mktemp("model") / "micro")))


def workspace(root: Path, model: ModelConfig, **engine: object) -> Workspace:
    return Workspace(store=Store(root), model=model, engine=EngineConfig.model_validate(engine), seed=7)


@pytest.mark.parametrize(
    ("engine", "before", "beside_the_engine"),
    [
        pytest.param({"kind": "vllm"}, True, False, id="ours gives its memory back"),
        pytest.param({"kind": "vllm-server", "urls": ("http://127.0.0.1:9",)}, True, True, id="others keep theirs"),
    ],
)  # fmt: skip
def test_memory_of_our_own_engine_is_not_missed_by_fine_tuning(
    tmp_path: Path,
    model: ModelConfig,
    monkeypatch: pytest.MonkeyPatch,
    engine: dict[str, object],
    before: bool,
    beside_the_engine: bool,
) -> None:
    monkeypatch.setattr("tasks.checks.choose_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr("tasks.accelerator.open_vllm", lambda *_, **__: Closable())
    ws = workspace(tmp_path, model, **engine)
    assert bool(needs_of("finetune", ws, ()).gpu_bytes) == before
    ws.accelerator.engine(ws.info, None, lambda _: None)
    assert bool(needs_of("finetune", ws, ()).gpu_bytes) == beside_the_engine
    assert needs_of("generate", ws, ()).gpu_bytes == 0


def test_stopped_run_ends_at_its_next_step_and_no_other_does(tmp_path: Path, model: ModelConfig) -> None:
    ours, theirs = workspace(tmp_path, model), workspace(tmp_path, model)
    ours.begin("generate")
    progress = ours.progress()
    progress(1, 2)
    ours.stop()
    with pytest.raises(StoppedError, match="the same command continues"):
        progress(2, 2)
    theirs.go_on()


def test_worker_has_one_workspace_a_run_and_closes_those_of_earlier_runs_that_are_idle(
    tmp_path: Path, model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Workspace] = []
    monkeypatch.setattr(Workspace, "close", lambda self: closed.append(self))
    monkeypatch.setattr("tasks.workspace._MADE_HERE", {})
    first, second, third = (pickle.dumps(workspace(tmp_path, model)) for _ in range(3))
    one = pickle.loads(first)
    assert pickle.loads(first) is one
    with one.slots:
        two = pickle.loads(second)
        assert two is not one
        assert closed == []
    pickle.loads(third)
    assert closed == [one, two]
    assert pickle.loads(pickle.dumps(two)) is not two
