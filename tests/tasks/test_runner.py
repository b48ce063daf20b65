"""A cluster changes where parts run, not what they make: Ray and Dask with a store on S3 give the rows of threads."""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from augment.corpora import Corpus, open_corpus
from lalm.engine_config import EngineConfig
from lalm.loading import ModelConfig
from tasks.dataset import (
    assemble_dataset_shard,
    generate_shard,
    join_shards,
    select_utterances,
    truncate_shard,
)
from tasks.reporting import SilentReporter
from tasks.runner import RunnerError, RunnerKind, make_task_runner, submitting_to
from tasks.store import Manifest, Store, open_store
from tasks.workspace import Workspace
from tests.support.corpora import write_covost2
from tests.support.micro import random_micro_lalm
from tests.support.s3 import s3_server
from tests.support.stages import DATASET, PARTIAL, PROVENANCE, TRUNCATE

ENGINE = EngineConfig(batch_size=4)


def require(kind: RunnerKind) -> None:
    """Skip where the cluster's library is missing; in CI that is a failure."""
    if importlib.util.find_spec(f"prefect_{kind}") is not None:
        return
    reason = f"prefect-{kind} is not installed: pip install -e '.[{kind}]'"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Heard(SilentReporter):
    """What the driver is told."""

    ends: list[tuple[str, bool]] = field(default_factory=list)

    def finished(self, stage: str, part: str, made: Manifest, asked: Any) -> None:
        self.ends.append((stage, made.cached))


def make_dataset(ws: Workspace, corpus: Corpus) -> Manifest:
    """The stages of a dataset, handed out as the flow of a run does."""
    prompt = ws.prompt("en", "de")
    selection = select_utterances.submit(ws, corpus, "train", TRUNCATE, DATASET.n_shards).result()
    cuts = [truncate_shard.submit(ws, corpus, selection, i, TRUNCATE) for i in range(DATASET.n_shards)]
    targets = [generate_shard.submit(ws, cut, PARTIAL, prompt) for cut in cuts]
    shards = [
        assemble_dataset_shard.submit(ws, cut, target, i, PROVENANCE, DATASET)
        for i, (cut, target) in enumerate(zip(cuts, targets, strict=True))
    ]
    *_, made = [[part.result() for part in stage] for stage in (cuts, targets, shards)]
    return join_shards.submit(ws, selection, made, PROVENANCE, 1, DATASET).result()


def run(kind: RunnerKind, store: Store, model: Path, corpus: Corpus) -> tuple[Manifest, Heard]:
    heard = Heard()
    ws = Workspace(
        store=store, model=ModelConfig(path=str(model)), engine=ENGINE, seed=7, workers=2, reporter=heard
    )

    @flow(persist_result=False)
    def dataset() -> Manifest:
        with make_task_runner(kind, ENGINE, workers=2) as runner, submitting_to(runner):
            return make_dataset(ws, corpus)

    made: Manifest = dataset()
    ws.close()
    return made, heard


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("DO_NOT_TRACK", "1")
        with prefect_test_harness(server_startup_timeout=120):
            yield


@dataclass
class Given:
    """A corpus, a model, and what threads make of them in a directory."""

    corpus: Corpus
    model: Path
    made: Manifest


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory, prefect: None) -> Given:
    root = tmp_path_factory.mktemp("threads")
    corpus = open_corpus(write_covost2(root / "corpus", 12), "train")
    model = random_micro_lalm(root / "micro")
    made, _ = run("threads", Store(root / "store"), model, corpus)
    return Given(corpus=corpus, model=model, made=made)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray and Dask, about themselves
@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_two_worker_processes_and_a_bucket_make_the_rows_of_threads(
    tmp_path: Path, kind: RunnerKind, threads: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(kind)
    corpus, model = threads.corpus, threads.model
    with s3_server(monkeypatch) as s3:
        store = open_store(s3.url("demo"), tmp_path / "copies")
        made, heard = run(kind, store, model, corpus)
        again, heard_again = run("threads", open_store(s3.url("demo"), tmp_path / "elsewhere"), model, corpus)
        records = [name for name in s3.names("demo") if name.startswith("records/generate/")]
    assert made.info == threads.made.info  # evidence is not in it: its last digits depend on the batch
    assert made.info["rows"] > 0
    assert sorted(heard.ends) == sorted(
        [("select", False), ("dataset", False)]
        + [(stage, False) for stage in ("truncate", "generate", "assemble")] * DATASET.n_shards
    )
    assert len(store.used) == 2 + 3 * DATASET.n_shards
    assert again.digest == made.digest
    assert {cached for _, cached in heard_again.ends} == {True}
    assert records


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("prefect")
def test_gpus_that_a_ray_cluster_lacks_are_an_error_before_any_work() -> None:
    require("ray")
    runner = make_task_runner("ray", ENGINE, workers=1, gpus=1)
    with pytest.raises(RunnerError, match="asks for 1 GPU of one node"), runner:
        pytest.fail("the cluster has no GPU")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("prefect")
def test_dask_cluster_without_workers_is_an_error_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    require("dask")
    from distributed import LocalCluster

    monkeypatch.setattr("tasks.runner_dask.WORKER_WAIT_S", 0.2)
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        runner = make_task_runner("dask", ENGINE, workers=1, address=cluster.scheduler_address)
        with pytest.raises(RunnerError, match="has no worker"), runner:
            pytest.fail("the cluster has no worker")


def test_servers_are_not_started_by_every_worker() -> None:
    require("ray")
    with pytest.raises(RunnerError, match=r"every worker process would start servers"):
        make_task_runner("ray", EngineConfig(kind="vllm-server"), workers=2)


def test_dask_hands_out_no_gpus() -> None:
    require("dask")
    with pytest.raises(RunnerError, match="only Ray hands out"):
        make_task_runner("dask", ENGINE, workers=2, gpus=0.5)
