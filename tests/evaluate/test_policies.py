"""Every policy on one dictated translator: what is written when, by hand."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.config import EvaluateConfig
from evaluate.latency import normalized_erasure
from evaluate.policies import HoldN, LocalAgreement, Offline, Policy, Retranslation, SimulSA, WaitK
from evaluate.session import split_pieces
from evaluate.stream import simulate
from evaluate.trace import StreamTrace
from lalm.prompts import decode
from tests.evaluate.scripted import PROMPT, TOKENIZER, ScriptedEngine, Table, Translator, ids, spoken

HEARD: Table = {
    ("u", 1000): "Ich sah",
    ("u", 2000): "Ich sehe den",
    ("u", 3000): "Ich sehe den Hund",
    ("u", 4000): "Ich sehe den Hund heute.",
}
WORDS = ["Ich", "sehe", "den", "Hund", "heute."]


def translate(
    policy: Policy,
    table: Table = HEARD,
    *,
    duration_ms: float = 4000,
    chunk_ms: int | None = 1000,
    tgt_lang: str = "de",
    cap: int = 50,
    engine: ScriptedEngine | None = None,
) -> StreamTrace:
    [trace] = simulate(
        [spoken("u", duration_ms)],
        engine=engine or Translator(table),
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=chunk_ms,
        config=EvaluateConfig(max_new_tokens_per_step=cap, max_new_tokens_offline=200),
        adapter=None,
        tgt_lang=tgt_lang,
        policy=policy,
    )
    return trace


def timed(trace: StreamTrace) -> list[tuple[str, float]]:
    return [(emission.unit, emission.delay_ms) for emission in trace.emissions]


@pytest.mark.parametrize(
    ("policy", "delays_ms"),
    [
        (WaitK(k=1), [1000, 2000, 3000, 4000, 4000]),
        (WaitK(k=3), [3000, 4000, 4000, 4000, 4000]),
        (LocalAgreement(n=2), [2000, 3000, 3000, 4000, 4000]),
        (LocalAgreement(n=3), [3000, 4000, 4000, 4000, 4000]),
        (HoldN(n=3), [1000, 2000, 3000, 4000, 4000]),
        (HoldN(n=9), [2000, 3000, 4000, 4000, 4000]),
        (Retranslation(), [1000, 2000, 2000, 3000, 4000]),
        (Retranslation(mask=1), [1000, 2000, 3000, 4000, 4000]),
        (Offline(), [4000, 4000, 4000, 4000, 4000]),
    ],
    ids=str,
)
def test_each_policy_writes_each_word_when_its_rule_says_so(policy: Policy, delays_ms: list[float]) -> None:
    trace = translate(policy)
    assert timed(trace) == list(zip(WORDS, delays_ms, strict=True))
    assert trace.text == " ".join(WORDS)


def test_simulsa_writes_all_that_the_model_says_and_keeps_it() -> None:
    assert timed(translate(SimulSA())) == [
        ("Ich", 1000.0), ("sah", 1000.0), ("den", 2000.0), ("Hund", 3000.0), ("heute.", 4000.0),
    ]  # fmt: skip


def test_wait_k_asks_nothing_before_its_first_word() -> None:
    engine = Translator(HEARD)
    trace = translate(WaitK(k=3), engine=engine)
    assert [len(call[0].audio.waveform) // 16 for call in engine.calls] == [3000, 4000]
    assert [step.audio_ms for step in trace.steps] == [1000, 2000, 3000, 4000]


def test_wait_k_counts_characters_where_they_are_the_units() -> None:
    table = {("u", ms): "今天很好" for ms in (1000, 2000, 3000, 4000)}
    trace = translate(WaitK(k=2), table, tgt_lang="zh-CN")
    assert timed(trace) == [("今", 2000.0), ("天", 3000.0), ("很", 4000.0), ("好", 4000.0)]


def test_wait_k_reads_on_when_the_model_has_nothing_whole_to_say() -> None:
    trace = translate(WaitK(k=1), {("u", 2000): "Donaudampfschiff", ("u", 4000): "Ja"}, cap=8)
    assert [(len(step.token_ids), step.capped) for step in trace.steps] == [
        (0, False), (0, True), (0, False), (2, False),
    ]  # fmt: skip


def test_agreement_on_half_a_word_or_half_a_character_writes_neither() -> None:
    table: Table = {
        ("u", 1000): "die Haustür",
        ("u", 2000): "die Hausfrau",
        ("u", 3000): b"die Hausfrau \xc3\xbc",
        ("u", 4000): b"die Hausfrau \xc3\xa4",
    }
    trace = translate(LocalAgreement(n=2), table)
    assert [step.token_ids for step in trace.steps[:3]] == [(), ids("die"), ids(" Hausfrau")]


def test_agreement_of_one_is_the_model_deciding() -> None:
    assert translate(LocalAgreement(n=1)).steps == translate(SimulSA()).steps


def test_holding_nothing_is_the_model_deciding_even_at_a_cap() -> None:
    assert translate(HoldN(n=0), cap=9).steps == translate(SimulSA(), cap=9).steps


def test_agreement_needs_no_step_in_a_row_to_be_longer_than_the_one_before() -> None:
    table: Table = {("u", 1000): "ja gut", ("u", 2000): "", ("u", 3000): "ja", ("u", 4000): "ja gut"}
    assert timed(translate(LocalAgreement(n=2), table)) == [("ja", 4000.0), ("gut", 4000.0)]


def test_retranslation_hears_everything_anew_and_counts_what_it_takes_back() -> None:
    engine = Translator(HEARD)
    trace = translate(Retranslation(), engine=engine, cap=3)
    assert {call[0].forced_ids for call in engine.calls} == {()}
    assert [(step.pieces, step.erased) for step in trace.steps] == [
        (("Ich", " sah"), 0),
        ((" sehe", " den"), 1),
        ((" Hund",), 0),
        ((" heute.",), 0),
    ]
    assert normalized_erasure([trace], "word") == pytest.approx(1 / 5)


def test_a_mask_trades_erasure_for_delay() -> None:
    assert normalized_erasure([translate(Retranslation(mask=1))], "word") == 0
    assert normalized_erasure([translate(Retranslation(mask=9))], "word") == 0


def test_a_failed_step_empties_the_trace_of_any_policy() -> None:
    trace = translate(Retranslation(), {}, duration_ms=90_000)
    assert (trace.text, trace.emissions) == ("", ())
    assert trace.failure is not None


def test_pieces_joined_are_the_text_up_to_its_last_unit() -> None:
    assert split_pieces(" ein  Haus ", "word") == [" ein", "  Haus"]
    assert split_pieces("今天 好", "char") == ["今", "天", " 好"]


TEXTS = st.lists(st.sampled_from(["ja", "nein", "Haus", "Haustür", "ü", "über", "a"]), max_size=7).map(
    " ".join
)
TABLES = st.lists(TEXTS, min_size=1, max_size=6)
APPENDING = st.one_of(
    st.just(SimulSA()),
    st.builds(WaitK, k=st.integers(1, 7)),
    st.builds(LocalAgreement, n=st.integers(1, 4)),
    st.builds(HoldN, n=st.integers(0, 12)),
)
PATIENT = [WaitK(k=99), LocalAgreement(n=99), HoldN(n=999), Retranslation(mask=99), Offline()]


def dictate(texts: Sequence[str]) -> tuple[Table, float]:
    return {("u", 1000 * n): text for n, text in enumerate(texts, start=1)}, 1000.0 * len(texts)


@settings(deadline=None, max_examples=100)
@given(texts=TABLES, policy=APPENDING, cap=st.integers(2, 20))
def test_without_erasure_text_only_grows_and_words_and_characters_stay_whole(
    texts: list[str], policy: Policy, cap: int
) -> None:
    table, duration_ms = dictate(texts)
    trace = translate(policy, table, duration_ms=duration_ms, cap=cap)
    written: tuple[int, ...] = ()
    for step in trace.steps:
        written += step.token_ids
        so_far = decode(TOKENIZER, written)
        assert "\ufffd" not in so_far
        assert trace.text.startswith(so_far.strip())
    assert list(trace.delays_ms) == sorted(trace.delays_ms)
    assert all(step.erased == 0 for step in trace.steps)


@settings(deadline=None, max_examples=100)
@given(texts=TABLES, mask=st.integers(0, 4))
def test_retranslation_ends_with_the_offline_text_whatever_it_showed_before(
    texts: list[str], mask: int
) -> None:
    table, duration_ms = dictate(texts)
    trace = translate(Retranslation(mask=mask), table, duration_ms=duration_ms)
    assert trace.text == texts[-1]
    assert list(trace.delays_ms) == sorted(trace.delays_ms)


@settings(deadline=None, max_examples=60)
@given(texts=TABLES, policy=st.sampled_from(PATIENT))
def test_the_most_patient_setting_of_every_policy_is_offline_translation(
    texts: list[str], policy: Policy
) -> None:
    table, duration_ms = dictate(texts)
    offline = translate(SimulSA(), table, duration_ms=duration_ms, chunk_ms=None)
    patient = translate(policy, table, duration_ms=duration_ms)
    assert patient.text == offline.text
    assert timed(patient) == timed(offline)


@settings(deadline=None, max_examples=60)
@given(texts=TABLES, k=st.integers(1, 5))
def test_more_patience_never_makes_wait_k_earlier(texts: list[str], k: int) -> None:
    table, duration_ms = dictate([texts[-1]] * len(texts))
    sooner, later = (translate(WaitK(k=n), table, duration_ms=duration_ms).delays_ms for n in (k, k + 1))
    assert all(a <= b for a, b in zip(sooner, later, strict=True))
