"""The streaming rules, on dictated models whose every token is known."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.config import EvaluateConfig
from evaluate.session import SpokenUtterance, step_samples
from evaluate.stream import simulate
from evaluate.trace import Emission, Step, StreamTrace, TraceError, require_forward
from lalm.engine import Failure
from tests.evaluate.scripted import PROMPT, TOKENIZER, ScriptedEngine, ids, spoken


def run(
    engine: ScriptedEngine,
    *utterances: SpokenUtterance,
    chunk_ms: int | None = 1000,
    tgt_lang: str = "de",
    cap: int = 50,
    offline_cap: int = 100,
    adapter: Path | None = None,
) -> list[StreamTrace]:
    config = EvaluateConfig(max_new_tokens_per_step=cap, max_new_tokens_offline=offline_cap)
    return simulate(
        utterances,
        engine=engine,
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=chunk_ms,
        config=config,
        adapter=adapter,
        tgt_lang=tgt_lang,
    )


def timed(trace: StreamTrace) -> list[tuple[str, float]]:
    return [(emission.unit, emission.delay_ms) for emission in trace.emissions]


@given(num_samples=st.integers(1, 500_000), chunk_ms=st.integers(20, 5000))
def test_steps_are_multiples_of_the_chunk_and_then_exactly_the_end(num_samples: int, chunk_ms: int) -> None:
    *early, last = step_samples(num_samples, chunk_ms)
    assert last == num_samples
    assert early == [k * chunk_ms * 16 for k in range(1, len(early) + 1)]
    assert num_samples - chunk_ms * 16 <= (early[-1] if early else 0) < num_samples


def test_words_carry_the_audio_heard_when_they_were_written() -> None:
    engine = ScriptedEngine({("u", 1000): "Ich sehe", ("u", 3000): " den Hund", ("u", 3500): " heute."})
    [trace] = run(engine, spoken("u", 3500))
    assert trace.text == "Ich sehe den Hund heute."
    assert timed(trace) == [
        ("Ich", 1000.0), ("sehe", 1000.0), ("den", 3000.0), ("Hund", 3000.0), ("heute.", 3500.0),
    ]  # fmt: skip


def test_saying_nothing_is_a_recorded_wait() -> None:
    engine = ScriptedEngine({("u", 2000): "Ja"})
    [trace] = run(engine, spoken("u", 2500))
    assert [(step.audio_ms, len(step.token_ids)) for step in trace.steps] == [(1000, 0), (2000, 2), (2500, 0)]


def test_every_step_forces_the_emitted_ids_and_hears_a_longer_beginning_of_the_same_audio() -> None:
    engine = ScriptedEngine({("u", 1000): "Tü", ("u", 2000): "r"})
    utterance = spoken("u", 2250)
    run(engine, utterance, adapter=Path("lora"))
    requests = [call[0] for call in engine.calls]
    assert [request.forced_ids for request in requests] == [(), ids("Tü"), ids("Tür")]
    assert [request.audio.key for request in requests] == ["sha-u:16000", "sha-u:32000", "sha-u:36000"]
    assert [len(request.audio.waveform) for request in requests] == [16000, 32000, 36000]
    assert all((request.audio.waveform == utterance.waveform[: len(request.audio.waveform)]).all()
               for request in requests)  # fmt: skip
    assert engine.adapters == [Path("lora")] * 3
    assert {request.prompt_ids for request in requests} == {PROMPT.ids}


def test_a_word_continued_at_a_later_step_is_delayed_until_then() -> None:
    engine = ScriptedEngine({("u", 1000): "die Haus", ("u", 2000): "tür"})
    [trace] = run(engine, spoken("u", 2000))
    assert timed(trace) == [("die", 1000.0), ("Haustür", 2000.0)]


def test_a_character_split_over_two_steps_counts_when_its_last_byte_is_there() -> None:
    engine = ScriptedEngine({("u", 1000): b"zu T" + b"\xc3", ("u", 2000): b"\xbc"})
    [trace] = run(engine, spoken("u", 2000))
    assert trace.text == "zu Tü"
    assert timed(trace) == [("zu", 1000.0), ("Tü", 2000.0)]


def test_chinese_is_timed_by_character_without_spaces() -> None:
    engine = ScriptedEngine({("u", 1000): "今天", ("u", 2000): " 很好"})
    [trace] = run(engine, spoken("u", 2000), tgt_lang="zh-CN")
    assert timed(trace) == [("今", 1000.0), ("天", 1000.0), ("很", 2000.0), ("好", 2000.0)]


def test_a_capped_step_backs_off_to_its_last_whole_word() -> None:
    engine = ScriptedEngine({("u", 1000): "Ich gehe heute", ("u", 2000): " heim"})
    [trace] = run(engine, spoken("u", 2000), cap=12)
    assert [(step.capped, step.token_ids) for step in trace.steps] == [
        (True, ids("Ich gehe")),
        (False, ids(" heim")),
    ]
    assert trace.text == "Ich gehe heim"
    assert trace.cap_hits == 1


def test_a_cap_that_falls_on_a_word_boundary_keeps_that_word() -> None:
    engine = ScriptedEngine({("u", 1000): "Ich gehe heute"})
    [trace] = run(engine, spoken("u", 2000), cap=9)
    assert trace.text == "Ich gehe"


def test_a_cap_inside_a_first_word_writes_nothing_and_never_unwrites() -> None:
    engine = ScriptedEngine({("u", 1000): "Donau", ("u", 2000): "dampfschifffahrt", ("u", 3000): "er da"})
    [trace] = run(engine, spoken("u", 3000), cap=8)
    assert [step.token_ids for step in trace.steps] == [ids("Donau"), (), ids("er da")]
    assert trace.cap_hits == 1


def test_the_step_that_hears_the_end_may_say_all_that_is_left() -> None:
    rest = "sehr viele Wörter auf einmal"
    engine = ScriptedEngine({("u", 2000): rest})
    [trace] = run(engine, spoken("u", 2000), cap=8, offline_cap=60)
    assert trace.text == rest
    assert [call[0].max_new_tokens for call in engine.calls] == [8, 60]


def test_a_whole_utterance_is_one_step_at_its_end() -> None:
    engine = ScriptedEngine({("u", 2345): "alles auf einmal"})
    [trace] = run(engine, spoken("u", 2345), chunk_ms=None)
    assert len(engine.calls) == 1
    assert trace.chunk_ms is None
    assert trace.delays_ms == (2345.0, 2345.0, 2345.0)
    assert trace.delays_ms[0] == trace.source_ms


def test_step_k_of_all_utterances_is_one_call_however_results_are_ordered() -> None:
    table = {(f"u{n}", 1000): f"wort{n}" for n in range(5)} | {(f"u{n}", 2000): f" ende{n}" for n in range(5)}
    engine = ScriptedEngine(table)
    traces = run(engine, *(spoken(f"u{n}", 1500 + 500 * (n % 2)) for n in range(5)))
    assert [len(call) for call in engine.calls] == [5, 5]
    assert [trace.id for trace in traces] == ["u0", "u1", "u2", "u3", "u4"]
    assert traces[1].text == "wort1 ende1"


def test_a_silent_model_leaves_an_empty_trace() -> None:
    [trace] = run(ScriptedEngine({}), spoken("u", 2000))
    assert (trace.text, trace.emissions, trace.failure) == ("", (), None)


def test_a_failed_request_empties_its_utterance_and_harms_no_other() -> None:
    broken = Failure(reason="engine_error", detail="CUDA said no")
    engine = ScriptedEngine({("a", 1000): "Guten", ("a", 2000): broken, ("b", 2000): "Tag"})
    a, b = run(engine, spoken("a", 3000), spoken("b", 3000))
    assert (a.text, a.emissions) == ("", ())
    assert a.failure == "engine_error: CUDA said no"
    assert len(a.steps) == 1
    assert (b.text, b.failure) == ("Tag", None)
    assert [[request.request_id for request in call] for call in engine.calls] == [
        ["a", "b"],
        ["a", "b"],
        ["b"],
    ]


def test_an_utterance_longer_than_the_window_is_listed_and_never_sent() -> None:
    engine = ScriptedEngine({("short", 2000): "gut"}, window_ms=8000)
    long, short = run(engine, spoken("long", 9500), spoken("short", 2000))
    assert long.failure == "longer_than_window: 9.50 s of audio, but the model hears at most 8.00 s"
    assert short.text == "gut"
    assert all(request.request_id == "short" for call in engine.calls for request in call)


def test_an_utterance_without_samples_is_a_listed_failure() -> None:
    [trace] = run(ScriptedEngine({}), spoken("u", 0))
    assert trace.failure is not None
    assert trace.failure.startswith("no_audio")


def test_an_engine_that_forgets_a_request_fails_that_utterance() -> None:
    engine = ScriptedEngine({("b", 2000): "da"}, deaf_to=frozenset({"a"}))
    a, b = run(engine, spoken("a", 2000), spoken("b", 2000))
    assert a.failure is not None
    assert a.failure.startswith("no_result")
    assert b.text == "da"


def test_progress_reaches_its_total_even_when_utterances_fail() -> None:
    seen: list[tuple[int, int]] = []
    engine = ScriptedEngine({("a", 1000): Failure(reason="x", detail="y")}, window_ms=8000)
    simulate(
        [spoken("a", 3000), spoken("b", 2000), spoken("long", 9000)],
        engine=engine,
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=1000,
        config=EvaluateConfig(),
        adapter=None,
        tgt_lang="de",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (14, 14)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_two_utterances_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="distinct"):
        run(ScriptedEngine({}), spoken("u", 1000), spoken("u", 2000))


def a_trace(heard_ms: list[float], delays_ms: list[float], failure: str | None = None) -> StreamTrace:
    return StreamTrace(
        id="u",
        chunk_ms=1000,
        source_ms=3000,
        text="wort" if delays_ms else "",
        emissions=tuple(Emission(unit="wort", delay_ms=delay) for delay in delays_ms),
        steps=tuple(Step(audio_ms=heard, token_ids=()) for heard in heard_ms),
        failure=failure,
    )


def test_a_trace_that_runs_backwards_is_refused() -> None:
    require_forward(a_trace([1000, 2000, 2000], [1000, 1000, 2000]))
    require_forward(a_trace([1000], [], failure="engine_error: x"))
    for trace in (a_trace([2000, 1000], []), a_trace([1000, 2000], [2000, 1000])):
        with pytest.raises(TraceError, match="'u' runs backwards"):
            require_forward(trace)


def test_a_failed_trace_that_says_something_is_refused() -> None:
    with pytest.raises(TraceError, match="but says 'wort'"):
        require_forward(a_trace([1000], [1000], failure="engine_error: x"))
