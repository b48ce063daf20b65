"""Timed evaluation as a stage: it computes what records know, and its times are those of one machine."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from augment.corpora import open_corpus
from evaluate.config import EvaluateConfig, TimedConfig
from evaluate.latency import queue_clock
from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from tasks import timed as timed_module
from tasks.evaluate import SpokenSet, score_systems, stream_system, traces_of
from tasks.hardware import cpu_name, describe_hardware
from tasks.store import Manifest
from tasks.timed import stream_timed
from tests.support.stages import EVALUATE, Bench, call, make_bench

TIMED = TimedConfig(utterances=2, chunk_ms=(400,), warm_up=1)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("timed"))
    yield bench
    bench.workspace.close()


@pytest.fixture(scope="module")
def spoken(bench: Bench) -> SpokenSet:
    return SpokenSet(open_corpus(bench.corpus, "test"), EVALUATE)


def measure(bench: Bench, spoken: SpokenSet, timed: TimedConfig = TIMED, chunk_ms: int = 400) -> Manifest:
    prompt = bench.workspace.prompt("en", "de")
    return call(stream_timed, bench.workspace, spoken, None, chunk_ms, EVALUATE, timed, prompt, "de")


@pytest.fixture(scope="module")
def batched(bench: Bench, spoken: SpokenSet) -> Manifest:
    prompt = bench.workspace.prompt("en", "de")
    return call(stream_system, bench.workspace, spoken, None, 400, EVALUATE, prompt, "de")


@pytest.fixture(scope="module")
def made(bench: Bench, spoken: SpokenSet, batched: Manifest) -> Manifest:
    return measure(bench, spoken)


def test_what_was_streamed_before_is_computed_again_and_leaves_no_record(
    bench: Bench, spoken: SpokenSet, batched: Manifest
) -> None:
    before = bench.workspace.requests()
    made = measure(bench, spoken, TIMED.model_copy(update={"utterances": 3, "warm_up": 0}))
    assert bench.workspace.requests() == before
    timed, known = traces_of(made), traces_of(batched)
    assert [(t.id, t.text, t.delays_ms) for t in timed] == [(t.id, t.text, t.delays_ms) for t in known]
    assert all(step.compute_s and step.compute_s > 0 for trace in timed for step in trace.steps)


def test_a_measurement_is_kept(bench: Bench, spoken: SpokenSet, made: Manifest) -> None:
    again = measure(bench, spoken)
    assert (again.key, again.cached) == (made.key, True)


def test_scores_are_on_both_clocks_and_name_the_machine(
    bench: Bench, spoken: SpokenSet, batched: Manifest, made: Manifest
) -> None:
    scored = call(
        score_systems, bench.workspace, spoken, {"simulsa": [batched]}, EVALUATE, "de", None, None,
        {"base": [made]},
    )  # fmt: skip
    scores = json.loads(scored.path("scores.json").read_text())["timed"]
    assert scores["hardware"] == describe_hardware(EngineConfig(), bench.workspace.model)
    assert (scores["warm_up"], scores["coalesce"], scores["unit"]) == (1, False, "word")
    assert scores["engine"]["transformers"]
    [point] = scores["curves"]["base"]
    assert (point["chunk_ms"], point["n_utterances"], point["n_failed"]) == (400, 2, 0)
    assert point["RTF"] > 0
    for name in ("AL", "LAAL", "DAL", "AP", "StartOffset", "EndOffset", "lag_p50", "lag_p90", "lag_p99"):
        assert point[f"{name}_CA"] > point[name]
    for trace in traces_of(made):
        assert queue_clock(trace.steps) == sorted(queue_clock(trace.steps))


def test_scores_without_timed_streams_are_as_before(
    bench: Bench, spoken: SpokenSet, batched: Manifest
) -> None:
    plain = call(score_systems, bench.workspace, spoken, {"simulsa": [batched]}, EVALUATE, "de", None)
    unasked = call(
        score_systems, bench.workspace, spoken, {"simulsa": [batched]}, EVALUATE, "de", None, None, {}
    )
    assert unasked.key == plain.key
    assert "timed" not in json.loads(plain.path("scores.json").read_text())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"utterances": 1}, id="utterances"),
        pytest.param({"warm_up": 0}, id="warm_up"),
        pytest.param({"coalesce": True}, id="coalesce"),
    ],
)
def test_another_way_of_measuring_is_another_measurement(
    bench: Bench, spoken: SpokenSet, made: Manifest, change: dict[str, Any]
) -> None:
    assert measure(bench, spoken, TIMED.model_copy(update=change)).key != made.key


def test_another_machine_is_another_measurement(
    bench: Bench, spoken: SpokenSet, made: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere: Callable[..., dict[str, Any]] = lambda *_: {"cpu": "another", "threads": 64}  # noqa: E731
    monkeypatch.setattr(timed_module, "describe_hardware", elsewhere)
    other = measure(bench, spoken)
    assert other.key != made.key
    assert other.info["hardware"] == {"cpu": "another", "threads": 64}
    assert not other.cached


def test_which_systems_and_steps_are_timed_beside_it_is_none_of_a_measurements_key(
    bench: Bench, spoken: SpokenSet, made: Manifest
) -> None:
    wider = TIMED.model_copy(update={"systems": ("base", "simulsa"), "chunk_ms": (400, 800)})
    assert measure(bench, spoken, wider).key == made.key


def test_nothing_is_timed_on_servers_that_others_may_ask(bench: Bench) -> None:
    ws = bench.workspace
    servers = EngineConfig(kind="vllm-server", urls=("http://127.0.0.1:9",))
    accelerator = type(ws.accelerator)(servers, ws.model, ws.store.root / "logs")
    with pytest.raises(EngineError, match=r"leave engine\.urls empty"):
        accelerator.fresh_engine(ws.info, None, lambda _: None)


def test_settings_that_only_cost_time_are_in_the_key_of_engines_that_have_them(bench: Bench) -> None:
    ws = bench.workspace
    assert ws.accelerator.speed_settings == {}
    vllm = type(ws.accelerator)(
        EngineConfig(kind="vllm", enforce_eager=True), ws.model, ws.store.root / "logs"
    )
    assert vllm.speed_settings["enforce_eager"] is True
    assert not {"urls", "api_key_variable", "patience_s"} & set(vllm.speed_settings)


def test_both_kinds_of_vllm_are_one_engine_and_two_measurements(bench: Bench) -> None:
    ws = bench.workspace
    library, server = (
        type(ws.accelerator)(EngineConfig(kind=kind), ws.model, ws.store.root / "logs")
        for kind in ("vllm", "vllm-server")
    )
    assert library.identity(ws.info)["kind"] == server.identity(ws.info)["kind"]
    assert library.speed_settings != server.speed_settings


def test_warm_up_comes_from_behind_the_measured_utterances_or_is_less(spoken: SpokenSet) -> None:
    part = timed_module.warm_up_part
    assert [u.id for u in part(spoken.spoken, TIMED)] == [spoken.utterances[2].id]
    assert part(spoken.spoken, TIMED.model_copy(update={"utterances": 3})) == []


def test_a_processor_is_called_as_its_system_calls_it(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Example 9000 @ 2 GHz\nprocessor\t: 1\nmodel name\t: x\n")
    assert cpu_name(told) == "Example 9000 @ 2 GHz"
    assert cpu_name(tmp_path / "none")


def test_timed_values_are_distinct_and_known() -> None:
    with pytest.raises(ValueError, match="distinct"):
        TimedConfig(chunk_ms=(640, 640))
    with pytest.raises(ValueError, match="unheard"):
        EvaluateConfig.model_validate(
            {
                "chunk_ms": [640], "base_chunk_ms": [], "timed": {"chunk_ms": [9000]},
                "long_form": {"window_ms": 9500, "keep_ms": 8000},
            }
        )  # fmt: skip
