"""Whatever replicas do, each request is answered exactly once, and only what kills them is given up."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lalm.engine import Answer, AnyRequest, AudioClip, Engine, Failure, GenerateRequest, Generation
from lalm.errors import EngineError
from lalm.vllm import fleet as fleet_module
from lalm.vllm.engine import VllmEngine
from lalm.vllm.fleet import Fleet
from lalm.vllm.replica import BusyError, ReplicaError

SILENCE = AudioClip(key="silence", waveform=np.zeros(1_000, np.float32))


def request(number: int, *, alone: bool = False) -> GenerateRequest:
    return GenerateRequest(
        request_id=str(number), prompt_ids=(1,), audio=SILENCE, max_new_tokens=number + 1, alone=alone
    )


def answer_to(asked: AnyRequest) -> Generation:
    return Generation(token_ids=(int(asked.request_id),), finish="stop", min_margin=1.0)


class ScriptedReplica:
    """Answers after a turn of the loop; dies when it works on a poisoned request, and comes back when revived."""

    def __init__(self, name: str = "replica", poison: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.poison = poison
        self.alive = True
        self.working: set[str] = set()
        self.most_at_once = 0
        self.asked: Counter[str] = Counter()
        self.beside: dict[str, set[str]] = {}
        self.deaths = 0
        self.closed = False

    async def answer(self, asked: AnyRequest, adapter: Path | None) -> Answer:
        self.asked[asked.request_id] += 1
        self.working.add(asked.request_id)
        self.most_at_once = max(self.most_at_once, len(self.working))
        try:
            for _ in range(3):
                self._check()
                await asyncio.sleep(0)
            self.beside.setdefault(asked.request_id, set()).update(self.working - {asked.request_id})
            if asked.request_id in self.poison:
                self.alive = False
                self.deaths += 1
            self._check()
        finally:
            self.working.discard(asked.request_id)
        return answer_to(asked)

    async def healthy(self) -> bool:
        return self.alive

    async def revive(self) -> None:
        self.alive = True

    async def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        if not self.alive:
            raise ReplicaError(f"{self.name} is gone", lost=True)


class FailingReplica(ScriptedReplica):
    """Raises what `script` says for the first requests, then answers."""

    def __init__(self, script: list[Exception], healthy: Callable[[], bool] = lambda: True) -> None:
        super().__init__("failing")
        self.script = script
        self.is_healthy = healthy

    async def answer(self, asked: AnyRequest, adapter: Path | None) -> Answer:
        if self.script:
            raise self.script.pop(0)
        return await super().answer(asked, adapter)

    async def healthy(self) -> bool:
        return self.is_healthy()

    async def revive(self) -> None:
        return


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "FIRST_WAIT_S", 0.001)


@contextmanager
def fleet_of(*replicas: ScriptedReplica, max_in_flight: int = 8, patience_s: float = 60.0) -> Iterator[Fleet]:
    fleet = Fleet(replicas, max_in_flight=max_in_flight, patience_s=patience_s)
    try:
        yield fleet
    finally:
        fleet.close()


def run(fleet: Fleet, requests: list[GenerateRequest]) -> dict[str, Answer]:
    answers = list(fleet.run(requests, None))
    assert len(answers) == len({request_id for request_id, _ in answers}), "an answer came twice"
    return dict(answers)


def test_every_request_is_answered_and_load_is_spread() -> None:
    replicas = [ScriptedReplica(str(i)) for i in range(3)]
    with fleet_of(*replicas, max_in_flight=4) as fleet:
        answers = run(fleet, [request(i) for i in range(60)])
    assert answers == {str(i): answer_to(request(i)) for i in range(60)}
    assert all(0 < replica.most_at_once <= 4 for replica in replicas)
    assert all(replica.closed for replica in replicas)


@settings(deadline=None, max_examples=60)
@given(
    poison=st.sets(st.integers(0, 39), max_size=3),
    num_requests=st.integers(1, 40),
    num_replicas=st.integers(1, 3),
    max_in_flight=st.sampled_from([1, 5, 16]),
)
def test_exactly_the_poisoned_requests_are_quarantined(
    poison: set[int], num_requests: int, num_replicas: int, max_in_flight: int
) -> None:
    names = frozenset(map(str, poison))
    replicas = [ScriptedReplica(str(i), names) for i in range(num_replicas)]
    with fleet_of(*replicas, max_in_flight=max_in_flight) as fleet:
        answers = run(fleet, [request(i) for i in range(num_requests)])
    failed = {key: answer for key, answer in answers.items() if isinstance(answer, Failure)}
    assert set(failed) == names & set(answers)
    assert len(answers) == num_requests
    assert fleet.quarantined == len(failed)
    for key, failure in failed.items():
        assert failure.reason == "engine_died"
        assert f"request {key}" in failure.detail


def test_bisecting_needs_few_deaths() -> None:
    replica = ScriptedReplica(poison=frozenset({"77"}))
    with fleet_of(replica, max_in_flight=128) as fleet:
        run(fleet, [request(i) for i in range(128)])
    assert replica.deaths <= 1 + 7 + 2, "128 halves 7 times, then the culprit strikes twice alone"


def test_a_single_death_in_company_quarantines_nothing() -> None:
    replica = FailingReplica([ReplicaError("killed from outside", lost=True)])
    with fleet_of(replica) as fleet:
        answers = run(fleet, [request(i) for i in range(20)])
    assert answers == {str(i): answer_to(request(i)) for i in range(20)}
    assert fleet.quarantined == 0


def test_an_alone_request_shares_its_replica_with_nothing() -> None:
    replicas = [ScriptedReplica("a"), ScriptedReplica("b")]
    requests = [request(i, alone=i % 7 == 0) for i in range(40)]
    with fleet_of(*replicas) as fleet:
        run(fleet, requests)
    for asked in requests:
        if asked.alone:
            assert not any(replica.beside.get(asked.request_id) for replica in replicas)


def test_server_errors_are_retried_and_then_counted_as_failures() -> None:
    error = ReplicaError("500 no", lost=False)
    with fleet_of(FailingReplica([error] * 5)) as fleet:
        assert run(fleet, [request(0)]) == {"0": answer_to(request(0))}
    with fleet_of(FailingReplica([error] * fleet_module.MAX_ERRORS)) as fleet:
        (failure,) = run(fleet, [request(0)]).values()
    assert isinstance(failure, Failure)
    assert failure.reason == "engine_error"
    assert "500 no" in failure.detail


def test_a_busy_replica_is_asked_again_and_stays_in_the_fleet() -> None:
    with fleet_of(FailingReplica([BusyError(0.001)] * 30)) as fleet:
        assert len(run(fleet, [request(i) for i in range(5)])) == 5
    assert fleet.revived == 0


def test_a_sick_replica_is_left_out_until_its_health_check_passes() -> None:
    well = threading.Event()
    sick = FailingReplica([ReplicaError("500", lost=False)], healthy=well.is_set)
    healthy = ScriptedReplica("healthy")
    with fleet_of(sick, healthy, max_in_flight=1) as fleet:
        assert len(run(fleet, [request(i) for i in range(20)])) == 20
        assert sum(sick.asked.values()) == 0
        well.set()
        while not fleet.revived:
            pass
        assert len(run(fleet, [request(i) for i in range(20)])) == 20
    assert sum(sick.asked.values()) > 0


def test_when_no_replica_gets_well_the_error_names_them_all() -> None:
    replicas = [FailingReplica([ReplicaError("refused", lost=True)], healthy=lambda: False) for _ in range(2)]
    with (
        fleet_of(*replicas, patience_s=0.01) as fleet,
        pytest.raises(EngineError, match=r"failing, failing.*run the same command"),
    ):
        run(fleet, [request(i) for i in range(4)])


def test_an_engine_that_dies_on_everything_is_an_error_not_a_quarantine_of_the_corpus() -> None:
    everything = frozenset(str(i) for i in range(200))
    with (
        fleet_of(ScriptedReplica(poison=everything), max_in_flight=16) as fleet,
        pytest.raises(EngineError, match="no single request is the cause"),
    ):
        run(fleet, [request(i) for i in range(200)])
    assert fleet.quarantined < 24


def test_threads_share_the_replicas_and_each_gets_its_own_answers() -> None:
    replica = ScriptedReplica()
    results: dict[int, dict[str, Answer]] = {}
    with fleet_of(replica, max_in_flight=16) as fleet:

        def work(part: int) -> None:
            results[part] = run(fleet, [request(i) for i in range(part, 90, 3)])

        threads = [threading.Thread(target=work, args=(part,)) for part in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for part, answers in results.items():
        assert answers == {str(i): answer_to(request(i)) for i in range(part, 90, 3)}


def test_requests_are_taken_lazily() -> None:
    taken = 0

    def stream() -> Iterator[GenerateRequest]:
        nonlocal taken
        for i in range(1_000):
            taken += 1
            yield request(i)

    with fleet_of(ScriptedReplica(), max_in_flight=4) as fleet:
        answers = fleet.run(stream(), None)
        next(answers)
        assert taken < 20
        answers.close()  # type: ignore[attr-defined]


def test_closing_a_fleet_ends_a_waiting_caller_with_an_error() -> None:
    class Stuck(ScriptedReplica):
        async def answer(self, asked: AnyRequest, adapter: Path | None) -> Answer:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

    started = threading.Event()
    errors: list[Exception] = []
    fleet = Fleet([Stuck()], max_in_flight=2, patience_s=1)

    def work() -> None:
        try:
            run(fleet, [request(0)])
        except EngineError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    fleet.close()
    thread.join(20)
    assert errors
    assert "closed" in str(errors[0])


def test_a_replica_that_cannot_be_mended_is_lost_and_nobody_waits_for_it() -> None:
    class Hopeless(FailingReplica):
        async def revive(self) -> None:
            raise OSError("no room for a log")

    hopeless = Hopeless([ReplicaError("gone", lost=True)], healthy=lambda: False)
    with fleet_of(hopeless) as fleet, pytest.raises(EngineError, match="cannot be mended: OSError: no room"):
        run(fleet, [request(i) for i in range(3)])
    hopeless = Hopeless([ReplicaError("gone", lost=True)], healthy=lambda: False)
    with fleet_of(hopeless, ScriptedReplica("well")) as fleet:
        assert run(fleet, [request(i) for i in range(30)]) == {
            str(i): answer_to(request(i)) for i in range(30)
        }


def test_an_adapter_that_failed_its_check_fails_it_again() -> None:
    """The next shard must not take the adapter for checked; the check itself asks the engine it checks."""
    verdicts: list[str] = []

    def refuse(engine: Engine, adapter: Path) -> None:
        assert len(list(engine.generate([request(0)], adapter=adapter))) == 1
        verdicts.append(adapter.name)
        raise EngineError("the adapter changes nothing")

    with fleet_of(ScriptedReplica()) as fleet:
        engine = VllmEngine(
            fleet, identity={}, window_samples=16_000, audio_id=1, vocab_size=9, check_adapter=refuse
        )
        for _ in range(2):
            with pytest.raises(EngineError, match="changes nothing"):
                list(engine.generate([request(1)], adapter=Path("ignored")))
    assert verdicts == ["ignored", "ignored"]
