"""Fine-tuning over two processes gives what one gives, survives the death of either, and leaves none behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from augment.corpora import open_corpus
from augment.schema import Utterance
from lalm.loading import ModelConfig
from tasks.finetune import finetune_system
from tasks.reporting import SilentReporter
from tasks.store import Manifest, stage_key
from tests.support.stages import Bench, call, make_bench
from train.config import FinetuneConfig
from train.errors import TrainError
from train.launch import LOG_NAME, Training, _started, _steps, finetune_over_processes

ONE = FinetuneConfig(
    steps=6, batch_size=8, accumulation=4, lora_r=4, learning_rate=3e-3, checkpoint_every=2, lora_dropout=0.0
)
TWO = ONE.model_copy(update={"processes": 2})
WEIGHTS = "adapter_model.safetensors"


class KillsRankOne(SilentReporter):
    """Kills one of the training processes after the third step, once."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def advanced(self, stage: str, part: str, done: int, total: int) -> None:
        if (stage, done) == ("finetune", 3) and not self.killed:
            ranks = {p.environ().get("RANK"): p for p in psutil.Process().children(recursive=True)}
            ranks["1"].send_signal(signal.SIGKILL)
            self.killed.append(ranks["1"].pid)


def tune(bench: Bench, config: FinetuneConfig) -> Manifest:
    ws = bench.workspace
    corpus = open_corpus(bench.corpus, "train")
    return call(finetune_system, ws, "control", corpus, "train", None, config, ws.prompt("en", "de"))


def log_of(adapter: Manifest) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (adapter.directory / "train_log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A corpus of which one recording is missing, so that processes get unequal parts and empty micro-batches."""
    made = make_bench(tmp_path_factory.mktemp("bench"))
    corpus = open_corpus(made.corpus, "train")
    corpus.audio_path(next(entry for entry in corpus if isinstance(entry, Utterance))).unlink()
    return made


@pytest.fixture(scope="module")
def two(bench: Bench) -> Manifest:
    return tune(bench, TWO)


@pytest.mark.slow
def test_two_processes_give_the_weights_and_the_log_of_one(bench: Bench, two: Manifest) -> None:
    one = tune(bench, ONE)

    assert not two.cached
    assert two.key != one.key
    assert two.info["drawn"] == one.info["drawn"]
    assert two.info["skipped"] == one.info["skipped"] != {}
    for ours, theirs in zip(log_of(two), log_of(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    expected = load_file(one.directory / WEIGHTS)
    for name, weights in load_file(two.directory / WEIGHTS).items():
        assert weights.numpy() == pytest.approx(expected[name].numpy(), abs=1e-5)
    assert any(weights.abs().max() > 1e-3 for name, weights in expected.items() if "lora_B" in name)


@pytest.mark.slow
def test_a_killed_process_ends_all_of_them_with_a_reason_and_the_next_run_goes_on(
    bench: Bench, two: Manifest, tmp_path: Path
) -> None:
    again = Bench(workspace=make_bench(tmp_path).workspace, corpus=bench.corpus)
    again.workspace.reporter = reporter = KillsRankOne()
    before = set(psutil.Process().children(recursive=True))  # servers of other tests in this process

    with pytest.raises(TrainError, match=r"process 1 was killed by SIGKILL; see .*training.log"):
        tune(again, TWO)

    assert len(reporter.killed) == 1
    assert set(psutil.Process().children(recursive=True)) <= before
    (scratch,) = (path for path in (tmp_path / "store" / "scratch").iterdir() if path.is_dir())
    assert (scratch / "step-00000002").is_dir()

    resumed = tune(again, TWO)
    for name in (WEIGHTS, "adapter_config.json", "train_log.jsonl", "manifest.json"):
        assert (resumed.directory / name).read_bytes() == (two.directory / name).read_bytes()
    assert not scratch.exists()


@pytest.mark.slow
def test_what_a_process_cannot_do_reaches_the_user_as_the_same_sentence(bench: Bench, tmp_path: Path) -> None:
    empty = make_bench(tmp_path)
    for path in Path(empty.corpus.root).rglob("*.wav"):
        path.unlink()

    with pytest.raises(TrainError, match=r"none of 8 drawn examples can be used.*audio_missing': 8"):
        tune(empty, TWO)


def test_log_keeps_what_both_streams_of_the_processes_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log, torchrun = tmp_path / LOG_NAME, tmp_path / "torchrun"
    log.write_text("of an earlier attempt\n")
    torchrun.write_text(
        "#!/bin/sh\necho a warning >&2; echo a line that is no step\n"
        f"until grep -q 'no step' {log}; do :; done\necho an error >&2\n"
    )
    torchrun.chmod(0o755)
    monkeypatch.setattr("train.launch.sys.executable", str(torchrun))
    with _started(tmp_path, 2) as process:
        assert list(_steps(process, log)) == []
        assert process.wait() == 0
    assert log.read_text() == "a warning\na line that is no step\nan error\n"


def test_one_process_is_not_named_in_the_key_and_two_are() -> None:
    assert "processes" not in ONE.identity()
    assert TWO.identity() == ONE.identity() | {"processes": 2}
    assert stage_key("finetune", 1, ONE.identity()) != stage_key("finetune", 1, TWO.identity())


def test_processes_that_do_not_share_the_batch_evenly_are_refused() -> None:
    with pytest.raises(ValidationError, match="processes=3 x accumulation=2 must divide batch_size=32"):
        FinetuneConfig(processes=3, accumulation=2)


def test_more_processes_than_gpus_are_refused_before_any_starts(
    monkeypatch: pytest.MonkeyPatch, bench: Bench, tmp_path: Path
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    training = Training(
        model=ModelConfig(path="micro", device="cuda"), corpus=bench.corpus, split="train", dataset_dir=None,
        prompt_ids=(1,), stop_ids=(2,), config=TWO, out_dir=tmp_path, checkpoints=tmp_path / "work", seed=1,
    )  # fmt: skip

    with pytest.raises(TrainError, match=r"finetune.processes is 2 but torch sees 1 GPU"):
        finetune_over_processes(training)
    assert list(tmp_path.iterdir()) == []
