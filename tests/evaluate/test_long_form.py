"""A window that slides over a long recording: every word once, nothing that grows with the recording."""

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evaluate.config import EvaluateConfig
from evaluate.live import simulate_timed, stream_live
from evaluate.long_form import LongFormConfig, SlidingWindow, align_in_parts
from evaluate.pauses import FRAME_MS, QUIET_SHARE, first_pause, frame_levels, loudness
from evaluate.policies import Hypothesis, LocalAgreement, Policy, Retranslation, Seen, SimulSA, WaitK
from evaluate.session import SIMULSA
from evaluate.stream import simulate
from evaluate.trace import Step, StreamTrace, require_forward
from evaluate.units import align_units
from lalm.engine import Failure, GenerateRequest, Generation
from tests.evaluate.scripted import PROMPT, TOKENIZER, ScriptedEngine, Stopwatch, ids, spoken

SAMPLES_PER_S = 16_000


class Interpreter(ScriptedEngine):
    """Every second of audio says one word, its number: it says those that its prefix has not said yet."""

    def _answer(self, request: GenerateRequest) -> Generation | Failure:
        first = int(request.audio.waveform[0])
        end_s = (first + len(request.audio.waveform)) // SAMPLES_PER_S
        said = TOKENIZER.decode(list(request.forced_ids)).split()
        begin_s = int(said[-1]) + 1 if said else first // SAMPLES_PER_S
        text = " ".join(f"{second}" for second in range(begin_s, end_s))
        return Generation(token_ids=ids(" " + text if said and text else text), finish="stop", min_margin=1.0)


def interpret(
    duration_s: float,
    long_form: LongFormConfig | None,
    *,
    policy: Policy = SIMULSA,
    tgt_lang: str = "de",
    window_s: int = 8,
) -> tuple[StreamTrace, list[GenerateRequest]]:
    engine = Interpreter({}, window_ms=window_s * 1000)
    [trace] = simulate(
        [spoken("u", duration_s * 1000)],
        engine=engine,
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=1000,
        config=EvaluateConfig(
            chunk_ms=(1000,), base_chunk_ms=(), long_form=long_form, max_new_tokens_per_step=100
        ),
        adapter=None,
        tgt_lang=tgt_lang,
        policy=policy,
    )
    return trace, [request for call in engine.calls for request in call]


def prefixes(requests: list[GenerateRequest]) -> list[str]:
    return [TOKENIZER.decode(list(request.forced_ids)) for request in requests]


def sliding(window_s: float = 8, keep_s: float = 4, history_words: int = 2) -> LongFormConfig:
    return LongFormConfig(
        window_ms=int(window_s * 1000), keep_ms=int(keep_s * 1000), history_words=history_words
    )


def test_text_from_before_the_window_leaves_the_prefix_but_for_its_last_words() -> None:
    _, requests = interpret(9, sliding(window_s=4, keep_s=2, history_words=1))
    heard_s = [
        (int(r.audio.waveform[0]) / SAMPLES_PER_S, len(r.audio.waveform) / SAMPLES_PER_S) for r in requests
    ]
    assert heard_s == [(0, 1), (0, 2), (0, 3), (0, 4), (3, 2), (3, 3), (3, 4), (6, 2), (6, 3)]
    # word n is written as second n + 1 ends: at a start of 3 s the words 0, 1 and 2 are from before
    assert prefixes(requests) == [
        "", "0", "0 1", "0 1 2", " 2 3", " 2 3 4", " 2 3 4 5", " 5 6", " 5 6 7",
    ]  # fmt: skip


def test_without_history_only_what_was_written_in_the_window_stays() -> None:
    _, requests = interpret(6, sliding(window_s=4, keep_s=2, history_words=0))
    assert prefixes(requests)[4:] == [" 3", " 3 4"]


@pytest.mark.parametrize("history_words", [0, 3])
def test_every_word_is_written_once_with_the_delay_it_has_without_a_window(history_words: int) -> None:
    trace, _ = interpret(40, sliding(history_words=history_words))
    whole, _ = interpret(40, None, window_s=100)
    assert trace.text == whole.text == " ".join(str(second) for second in range(40))
    assert trace.emissions == whole.emissions


def test_what_the_model_is_given_does_not_grow_with_the_recording() -> None:
    def most(duration_s: float) -> tuple[int, int]:
        _, requests = interpret(duration_s, sliding())
        return (
            max(len(request.audio.waveform) for request in requests),
            max(len(prefix.split()) for prefix in prefixes(requests)),
        )

    assert most(30) == most(60) == (8 * SAMPLES_PER_S, 2 + 7)


def test_a_window_moves_in_jumps_and_names_its_audio_by_where_it_begins_and_ends() -> None:
    _, requests = interpret(14, sliding())
    assert [request.audio.key for request in requests[7:10]] == [
        "sha-u:128000", "sha-u:80000-144000", "sha-u:80000-160000",
    ]  # fmt: skip


def test_a_recording_that_fits_is_streamed_as_without_a_window() -> None:
    assert interpret(7.5, sliding())[0] == interpret(7.5, None)[0]


def test_agreement_starts_anew_when_the_window_moves_and_still_says_everything() -> None:
    trace, _ = interpret(30, sliding(), policy=LocalAgreement(n=2))
    assert trace.text == " ".join(str(second) for second in range(30))
    assert list(trace.delays_ms) == sorted(trace.delays_ms)


class Onlooker(SimulSA):
    """SimulSA that remembers how many earlier hypotheses it was ever shown."""

    most = 0

    def writes(self, seen: Seen, said: Hypothesis, /) -> int:
        Onlooker.most = max(Onlooker.most, len(seen.hypotheses))
        assert seen.heard_ms <= 8000
        return super().writes(seen, said)


def test_what_a_policy_sees_does_not_grow_with_the_recording() -> None:
    interpret(40, sliding(), policy=Onlooker())
    assert Onlooker.most == 7


def test_a_word_that_goes_on_in_the_window_is_not_cut_in_two() -> None:
    window = SlidingWindow(LongFormConfig(window_ms=2500, keep_ms=2000, history_words=0), TOKENIZER, "de")
    steps = [Step(audio_ms=1000, token_ids=ids("ein Haus")), Step(audio_ms=2000, token_ids=ids("tür ist"))]
    assert window.move(3000, steps, ids("ein Haustür ist"))
    assert window.start_ms == 1000
    assert window.first_token == window.cuts[0] == len("ein")


def test_characters_leave_one_by_one_where_they_are_the_units() -> None:
    _, requests = interpret(6, sliding(window_s=4, keep_s=2, history_words=0), tgt_lang="zh")
    assert prefixes(requests)[4] == " 3"


@pytest.mark.parametrize("seconds_per_step", [0.5, 1.5, 20])
def test_a_step_that_comes_late_leaves_no_audio_unheard(seconds_per_step: float) -> None:
    engine = Interpreter({}, window_ms=8000)
    [trace] = simulate_timed(
        [spoken("u", 40_000)],
        engine=engine,
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=1000,
        config=EvaluateConfig(base_chunk_ms=(), long_form=sliding(), max_new_tokens_per_step=100),
        adapter=None,
        tgt_lang="de",
        warm_up=(),
        coalesce=True,
        clock=Stopwatch(seconds_per_step),
    )
    begins = [int(request.audio.waveform[0]) for [request] in engine.calls]
    ends = [int(request.audio.waveform[-1]) + 1 for [request] in engine.calls]
    assert all(begin <= end for begin, end in zip(begins[1:], ends, strict=False))
    assert ends[-1] == 40 * SAMPLES_PER_S
    assert (len(trace.steps) < 40) == (seconds_per_step > 1)


def test_what_replaces_its_whole_text_cannot_slide() -> None:
    trace, _ = interpret(20, sliding(), policy=Retranslation())
    assert trace.failure is not None
    assert trace.failure.startswith("longer_than_window")


def test_a_window_longer_than_the_models_is_refused() -> None:
    trace, requests = interpret(20, sliding(window_s=12))
    assert trace.failure == "longer_than_window: 12.00 s of audio, but the model hears at most 8.00 s"
    assert requests == []


@settings(deadline=None, max_examples=80)
@given(
    words=st.lists(st.sampled_from(["ja", "über", "Haus"]), min_size=1, max_size=12),
    per_step=st.integers(1, 9),
    data=st.data(),
)
def test_aligning_in_parts_gives_what_aligning_at_once_does(
    words: list[str], per_step: int, data: st.DataObject
) -> None:
    tokens = ids(" ".join(words))
    steps = [
        Step(audio_ms=float(n), token_ids=tokens[n : n + per_step]) for n in range(0, len(tokens), per_step)
    ]
    spaces = [place for place, token in enumerate(tokens) if token == ids(" ")[0]]
    cuts = sorted(data.draw(st.sets(st.sampled_from(spaces)))) if spaces else []
    assert align_in_parts(TOKENIZER, steps, cuts, "word") == align_units(TOKENIZER, steps, "word")


def test_a_window_that_cannot_move_or_skips_audio_is_refused() -> None:
    with pytest.raises(ValidationError, match="must move on"):
        LongFormConfig(window_ms=8000, keep_ms=8000)
    with pytest.raises(ValidationError, match="unheard"):
        EvaluateConfig(base_chunk_ms=(), long_form=LongFormConfig(window_ms=8000, keep_ms=1800))


class Reciter(ScriptedEngine):
    """Says how loud each sound is, as a word of one number; silence says nothing."""

    def _answer(self, request: GenerateRequest) -> Generation | Failure:
        said = TOKENIZER.decode(list(request.forced_ids)).split()
        levels = [f"{round(10 * level)}" for level in frame_levels(request.audio.waveform) if level > 0]
        words = [word for word, _ in groupby(levels)][len(said) :]
        text = " ".join(words)
        return Generation(token_ids=ids(" " + text if said and text else text), finish="stop", min_margin=1.0)


def recite(
    *seconds: tuple[float, float],
    pause_ms: int | None = 320,
    chunk_ms: int = 1000,
    history_words: int = 0,
    policy: Policy = SIMULSA,
) -> tuple[StreamTrace, list[GenerateRequest]]:
    """Stream pieces of (level, duration in s)."""
    pieces = [
        np.full(int(duration_s * SAMPLES_PER_S), level, dtype=np.float32) for level, duration_s in seconds
    ]
    waveform = np.concatenate(pieces)
    engine = Reciter({}, window_ms=8000)
    [trace] = simulate(
        [replace(spoken("u", 1), waveform=waveform)],
        engine=engine,
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=chunk_ms,
        config=EvaluateConfig(
            chunk_ms=(chunk_ms,),
            base_chunk_ms=(),
            max_new_tokens_per_step=100,
            long_form=LongFormConfig(
                window_ms=8000, keep_ms=4000, history_words=history_words, pause_ms=pause_ms
            ),
        ),
        adapter=None,
        tgt_lang="de",
        policy=policy,
    )
    return trace, [request for call in engine.calls for request in call]


TWO_SENTENCES = ((0.3, 1.3), (0.0, 0.5), (0.6, 1.2))


def test_a_pause_ends_a_sentence_and_the_next_begins_behind_it() -> None:
    trace, requests = recite(*TWO_SENTENCES)
    assert prefixes(requests) == ["", "3", ""]
    spans = [request.audio.key.removeprefix("sha-u:") for request in requests]
    # heard at 2 s: the sentence with 160 ms of the pause; then from 160 ms before the next sentence on
    assert spans == ["16000", "23360", "26240-48000"]
    assert trace.text == "3 6"
    assert [(e.unit, e.delay_ms) for e in trace.emissions] == [("3", 1000.0), ("6", 3000.0)]


def test_a_pause_too_short_ends_nothing() -> None:
    _, requests = recite((0.3, 1.3), (0.0, 0.3), (0.6, 1.2))
    assert [request.audio.key for request in requests][-1] == "sha-u:44800"


def test_the_step_at_a_pause_says_all_that_is_left_whatever_the_policy() -> None:
    trace, requests = recite(*TWO_SENTENCES, policy=LocalAgreement(n=2))
    assert [request.max_new_tokens for request in requests] == [100, 128, 128]
    assert [(e.unit, e.delay_ms) for e in trace.emissions] == [("3", 2000.0), ("6", 3000.0)]


def test_steps_behind_a_pause_hear_at_least_as_much_as_a_first_step() -> None:
    _, requests = recite((0.3, 1.3), (0.0, 0.5), (0.6, 3.0), chunk_ms=640)
    behind = [len(r.audio.waveform) / 16 for r in requests if "-" in r.audio.key]
    assert min(behind) >= 640


def test_nothing_is_asked_of_silence() -> None:
    trace, requests = recite((0.3, 1.3), (0.0, 5.0), (0.6, 1.2), (0.0, 3.0))
    assert len(requests[0].audio.waveform) == 16_000
    assert all(np.abs(request.audio.waveform).max() > 0 for request in requests)
    assert trace.text == "3 6"
    assert len(trace.steps) > len(requests)
    assert [step.audio_ms for step in trace.steps] == sorted(step.audio_ms for step in trace.steps)


def test_nothing_is_asked_of_a_silence_longer_than_the_window() -> None:
    trace, requests = recite((0.3, 1.3), (0.0, 30.0), (0.6, 1.2))
    assert all(np.abs(request.audio.waveform).max() > 0 for request in requests)
    assert trace.text == "3 6"


def test_speech_in_the_step_that_moves_a_silent_window_is_translated() -> None:
    trace, _ = recite((0.3, 1.3), (0.0, 8.2), (0.6, 0.5))
    assert trace.text == "3 6"


def test_a_much_quieter_speaker_is_heard_again_when_a_window_has_passed() -> None:
    trace, _ = recite((0.9, 1.3), (0.0, 1.0), *[(0.06, 1.0), (0.0, 0.4)] * 20)
    assert trace.text.split()[:2] == ["9", "1"]


def test_history_stands_in_front_of_the_next_sentence() -> None:
    _, requests = recite(*TWO_SENTENCES, history_words=1)
    assert prefixes(requests)[-1] == "3"


def test_emissions_behind_a_pause_name_their_step_where_two_heard_equally_much() -> None:
    trace, _ = recite((0.3, 1.3), (0.0, 0.5), (0.6, 0.1))
    heard = [step.audio_ms for step in trace.steps]
    assert heard[-1] == heard[-2] == 1900
    assert [e.step for e in trace.emissions] == [0, len(heard) - 1]


def test_a_live_stream_shows_sentences_apart() -> None:
    pieces = [np.full(int(s * SAMPLES_PER_S), level, dtype=np.float32) for level, s in TWO_SENTENCES]
    shown = stream_live(
        np.concatenate(pieces),
        sha="sha",
        engine=Reciter({}, window_ms=8000),
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=1000,
        config=EvaluateConfig(
            chunk_ms=(1000,),
            base_chunk_ms=(),
            long_form=LongFormConfig(history_words=0, pause_ms=320, window_ms=8000, keep_ms=4000),
        ),
        adapter=None,
        tgt_lang="de",
    )
    assert "".join(text for _, text in shown) == "3 6"


def test_a_full_window_begins_anew_behind_its_longest_pause() -> None:
    trace, requests = recite(
        (0.3, 5.0), (0.0, 0.22), (0.6, 1.5), (0.0, 0.18), (0.3, 2.5), policy=LocalAgreement(n=9)
    )
    assert [request.audio.key.removeprefix("sha-u:") for request in requests][8:] == [
        "82560", "82560-144000", "82560-150400"
    ]  # fmt: skip
    assert trace.text == "3 6 3"


@settings(deadline=None, max_examples=60)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from([0.0, 0.0, 0.3, 0.6, 0.9]), st.sampled_from([0.06, 0.4, 1.0, 3.0, 9.0])),
        min_size=1,
        max_size=9,
    ),
    chunk_ms=st.sampled_from([320, 1000, 2500]),
    history_words=st.integers(0, 3),
    policy=st.sampled_from([SIMULSA, LocalAgreement(n=2), WaitK(k=2)]),
)
def test_whatever_is_heard_every_token_is_shown_once_and_time_only_goes_on(
    pieces: list[tuple[float, float]], chunk_ms: int, history_words: int, policy: Policy
) -> None:
    trace, requests = recite(*pieces, chunk_ms=chunk_ms, history_words=history_words, policy=policy)
    written = TOKENIZER.decode([token for step in trace.steps for token in step.token_ids])
    assert trace.failure is None
    assert trace.text.replace(" ", "") == written.replace(" ", "")
    assert trace.text.split() == [emission.unit for emission in trace.emissions]
    assert max((len(request.audio.waveform) for request in requests), default=0) <= 8 * SAMPLES_PER_S
    assert trace.steps[-1].audio_ms == trace.source_ms
    require_forward(trace)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.02, 0.3, 0.9]), st.integers(1, 40)), min_size=1, max_size=12),
    st.integers(100, 500),
)
def test_a_pause_is_quiet_long_enough_and_comes_after_sound(
    pieces: list[tuple[float, int]], pause_ms: int
) -> None:
    levels = np.repeat([level for level, _ in pieces], [count for _, count in pieces])
    begin = first_pause(levels, pause_ms)
    quiet = levels < QUIET_SHARE * loudness(levels)
    if begin is None:
        runs = [sum(1 for _ in run) for is_quiet, run in groupby(quiet) if is_quiet]
        inside = runs[1:] if quiet[0] else runs
        assert all(length * FRAME_MS < pause_ms for length in inside)
    else:
        assert not quiet[:begin].all()
        assert quiet[begin : begin + -(-pause_ms // FRAME_MS)].all()
        assert begin == 0 or not quiet[begin - 1]
