"""A window that slides over a long recording: every word once, nothing that grows with the recording."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evaluate.config import EvaluateConfig
from evaluate.long_form import LongFormConfig, SlidingWindow, align_in_parts
from evaluate.policies import Hypothesis, LocalAgreement, Policy, Retranslation, Seen, SimulSA
from evaluate.session import SIMULSA
from evaluate.stream import simulate
from evaluate.trace import Step, StreamTrace
from evaluate.units import align_units
from lalm.engine import Failure, GenerateRequest, Generation
from tests.evaluate.scripted import PROMPT, TOKENIZER, ScriptedEngine, ids, spoken

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
