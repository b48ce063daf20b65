"""A live stream shows exactly the translation, a piece per step; a timed one also says what each step cost."""

import pytest

from evaluate.config import EvaluateConfig
from evaluate.latency import queue_clock
from evaluate.live import simulate_timed, stream_live
from evaluate.policies import Policy, Retranslation, WaitK
from evaluate.session import SIMULSA, SpokenUtterance
from evaluate.stream import simulate
from evaluate.trace import StreamTrace
from lalm.engine import Failure
from lalm.errors import EngineError
from tests.evaluate.scripted import PROMPT, TOKENIZER, ScriptedEngine, Stopwatch, spoken


def listen(engine: ScriptedEngine, duration_ms: float, policy: Policy = SIMULSA) -> list[tuple[float, str]]:
    return list(
        stream_live(
            spoken("live", duration_ms).waveform,
            sha="sha",
            engine=engine,
            prompt=PROMPT,
            tokenizer=TOKENIZER,
            chunk_ms=1000,
            config=EvaluateConfig(),
            adapter=None,
            tgt_lang="de",
            policy=policy,
        )
    )


def measure(
    engine: ScriptedEngine,
    *utterances: SpokenUtterance,
    seconds_per_call: float,
    coalesce: bool = False,
    policy: Policy = SIMULSA,
    warm_up: tuple[SpokenUtterance, ...] = (),
) -> list[StreamTrace]:
    return simulate_timed(
        utterances,
        engine=engine,
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=1000,
        config=EvaluateConfig(),
        adapter=None,
        tgt_lang="de",
        policy=policy,
        warm_up=warm_up,
        coalesce=coalesce,
        clock=Stopwatch(seconds_per_call),
    )


def test_every_step_yields_what_it_adds() -> None:
    engine = ScriptedEngine({("live", 1000): "Ich", ("live", 2500): " gehe"})
    assert listen(engine, 2500) == [(1000.0, "Ich"), (2000.0, ""), (2500.0, " gehe")]


def test_half_a_character_is_held_back_until_it_is_whole() -> None:
    engine = ScriptedEngine({("live", 1000): b"T\xc3", ("live", 2000): b"\xbcr"})
    assert listen(engine, 2000) == [(1000.0, "T"), (2000.0, "ür")]


def test_a_failure_stops_the_stream_with_its_reason() -> None:
    engine = ScriptedEngine({("live", 2000): Failure(reason="engine_error", detail="out of memory")})
    with pytest.raises(EngineError, match="after 1 steps: engine_error: out of memory"):
        listen(engine, 3000)


def test_a_recording_longer_than_the_window_is_refused() -> None:
    with pytest.raises(EngineError, match="longer_than_window"):
        listen(ScriptedEngine({}, window_ms=2000), 3000)


def test_an_engine_without_an_answer_ends_the_stream() -> None:
    with pytest.raises(EngineError, match="no_result"):
        listen(ScriptedEngine({}, deaf_to=frozenset({"live"})), 3000)


def test_a_live_stream_follows_its_policy_and_shows_its_silent_steps() -> None:
    engine = ScriptedEngine({("live", 2000): "Ja gut", ("live", 3000): " gut"})
    assert listen(engine, 3000, WaitK(k=2)) == [(1000.0, ""), (2000.0, "Ja"), (3000.0, " gut")]


def test_a_policy_that_takes_words_back_cannot_be_shown_live() -> None:
    with pytest.raises(ValueError, match="takes back"):
        listen(ScriptedEngine({}), 1000, Retranslation())


def test_a_timed_stream_writes_what_the_batched_one_does_and_says_what_each_step_cost() -> None:
    table = {("a", 1000): "Guten", ("a", 2500): " Tag", ("b", 2000): "ja"}
    utterances = [spoken("a", 2500), spoken("b", 2000)]
    alone = measure(ScriptedEngine(table), *utterances, seconds_per_call=0.25)
    batched = simulate(
        utterances,
        engine=ScriptedEngine(table),
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=1000,
        config=EvaluateConfig(),
        adapter=None,
        tgt_lang="de",
    )
    assert [(t.id, t.text, t.emissions) for t in alone] == [(t.id, t.text, t.emissions) for t in batched]
    assert {step.compute_s for trace in alone for step in trace.steps} == {0.25}
    assert {step.compute_s for trace in batched for step in trace.steps} == {None}
    assert queue_clock(alone[0].steps) == [1250.0, 2250.0, 2750.0]


def test_what_warms_up_is_not_measured_and_no_audio_is_known_from_before() -> None:
    engine = ScriptedEngine({})
    a, b = spoken("a", 1000), spoken("b", 1000)
    assert [trace.id for trace in measure(engine, a, b, seconds_per_call=1, warm_up=(a,))] == ["a", "b"]
    requests = [call[0] for call in engine.calls]
    assert [request.request_id for request in requests] == ["a", "a", "b"]
    assert len({request.audio.key for request in requests}) == 3


def test_a_late_step_hears_the_audio_that_arrived_meanwhile() -> None:
    behind, coalesced = (
        measure(ScriptedEngine({}), spoken("u", 5000), seconds_per_call=2.5, coalesce=coalesce)[0]
        for coalesce in (False, True)
    )
    assert [step.audio_ms for step in behind.steps] == [1000, 2000, 3000, 4000, 5000]
    assert [step.audio_ms for step in coalesced.steps] == [1000, 3000, 5000]
    assert queue_clock(behind.steps)[-1] == 13_500
    assert queue_clock(coalesced.steps)[-1] == 8_500


def test_a_system_in_time_coalesces_nothing() -> None:
    [trace] = measure(ScriptedEngine({}), spoken("u", 3500), seconds_per_call=0.5, coalesce=True)
    assert [step.audio_ms for step in trace.steps] == [1000, 2000, 3000, 3500]


def test_a_step_that_only_listens_costs_no_compute() -> None:
    [trace] = measure(ScriptedEngine({}), spoken("u", 3000), seconds_per_call=1, policy=WaitK(k=2))
    assert [step.compute_s for step in trace.steps] == [0.0, 1.0, 1.0]
