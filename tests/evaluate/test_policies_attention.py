"""Attention policies on matrices written by hand, and in a stream whose every token listens where it is told to."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evaluate.config import EvaluateConfig
from evaluate.policies import AlignAtt, EDAtt, Hypothesis, Policy, Seen, SimulSA
from evaluate.policies.attention import SINK_EVIDENCE, listening, tail_positions
from evaluate.stream import simulate
from evaluate.trace import StreamTrace
from lalm.attention import Attention
from lalm.engine import Failure, ScoreRequest
from lalm.errors import EngineError
from tests.evaluate.scripted import PROMPT, TOKENIZER, Table, Translator, ids, spoken

MS_PER_POSITION = 100
TEXT = "ja nein ja nein ja nein ja nein!"  # a byte is a token; token i listens to the audio at i * 100 ms
HEARD: Table = {("u", ms): TEXT[: ms // MS_PER_POSITION] for ms in (1000, 2000)} | {("u", 3200): TEXT}


class ListeningTranslator(Translator):
    """Token i of a translation listens to position i, and every token also to a sink."""

    def __init__(self, table: Table, *, sink: float = 0.0, deaf_at_ms: int | None = None) -> None:
        super().__init__(table)
        self.asked: list[ScoreRequest] = []
        self._sink = sink
        self._deaf_at_ms = deaf_at_ms

    def attend(
        self, requests: Iterable[ScoreRequest], *, layers: tuple[int, ...] = (), adapter: Path | None = None
    ) -> Iterator[tuple[str, Attention | Failure]]:
        for request in requests:
            self.asked.append(request)
            heard_ms = len(request.audio.waveform) // 16
            if heard_ms == self._deaf_at_ms:
                yield request.request_id, Failure(reason="output_not_finite", detail="nan")
                continue
            positions = heard_ms // MS_PER_POSITION
            matrix = np.eye(len(request.continuation_ids), positions, dtype=np.float32) * (1 - self._sink)
            matrix[:, -1] += self._sink
            yield request.request_id, matrix


def translate(policy: Policy, engine: Translator | None = None) -> StreamTrace:
    [trace] = simulate(
        [spoken("u", 3200)],
        engine=engine or ListeningTranslator(HEARD),
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        chunk_ms=1000,
        config=EvaluateConfig(max_new_tokens_per_step=100, max_new_tokens_offline=100),
        adapter=None,
        tgt_lang="de",
        policy=policy,
    )
    return trace


def said(attention: list[list[float]], *, prefix: int = 0) -> Hypothesis:
    return Hypothesis(
        prefix=tuple(range(prefix)),
        ids=tuple(range(prefix, len(attention))),
        finished=True,
        tokenizer=TOKENIZER,
        tgt_lang="de",
        attention=np.array(attention, dtype=np.float32),
    )


def seen(heard_ms: float) -> Seen:
    return Seen(step=1, heard_ms=heard_ms, emitted=(), hypotheses=())


def test_alignatt_stops_at_the_first_token_aligned_with_the_tail() -> None:
    matrix = [[0.9, 0.1, 0, 0], [0.1, 0.5, 0.2, 0.2], [0, 0.1, 0.3, 0.6], [0.9, 0.1, 0, 0]]
    assert AlignAtt(tail_ms=100).writes(seen(400), said(matrix)) == 2
    assert AlignAtt(tail_ms=300).writes(seen(400), said(matrix)) == 1
    assert AlignAtt(tail_ms=400).writes(seen(400), said(matrix)) == 0
    assert AlignAtt(tail_ms=0).writes(seen(400), said(matrix)) == 4


def test_only_new_tokens_are_judged() -> None:
    matrix = [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert AlignAtt(tail_ms=100).writes(seen(400), said(matrix, prefix=1)) == 2


def test_edatt_weighs_the_tail_before_the_last_position_and_compares_with_alpha() -> None:
    matrix = [[0.5, 0.3, 0.0, 0.2], [0.6, 0.1, 0.1, 0.2], [0.1, 0.3, 0.4, 0.2]]
    # without the last position the shares of the third one are 0, 0.125 and 0.5
    assert EDAtt(alpha=0.5, tail_ms=100).writes(seen(400), said(matrix)) == 2
    assert EDAtt(alpha=0.51, tail_ms=100).writes(seen(400), said(matrix)) == 3
    assert EDAtt(alpha=0.12, tail_ms=100).writes(seen(400), said(matrix)) == 1
    assert EDAtt(alpha=0.0, tail_ms=100).writes(seen(400), said(matrix)) == 0


def test_a_position_that_every_token_listens_to_is_a_sink_and_left_out() -> None:
    row = [0.0, 0.0, 0.0, 0.6]
    matrix = np.array([[*row[:i], 0.4, *row[i + 1 :]] for i in (0, 1, 2, 0)], dtype=np.float32)
    assert listening(matrix).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]
    assert listening(matrix[: SINK_EVIDENCE - 1])[:, 3].min() > 0.5


def test_a_token_that_listens_to_a_sink_alone_keeps_it() -> None:
    matrix = np.array([[0.0, 1.0]] + [[0.5, 0.5]] * 3, dtype=np.float32)
    assert listening(matrix).tolist() == [[0, 1], [1, 0], [1, 0], [1, 0]]


def test_the_tail_is_rounded_up_to_whole_positions_and_is_never_more_than_all() -> None:
    assert [tail_positions(ms, 1000, 25) for ms in (0, 1, 40, 41, 80, 5000)] == [0, 1, 1, 2, 2, 25]


def test_in_a_stream_alignatt_holds_back_what_listens_to_the_tail() -> None:
    trace = translate(AlignAtt(tail_ms=300))
    written = [len(step.token_ids) for step in trace.steps]
    # of 10 tokens the first 7 listen early enough: "ja nein"; then of 20 the first 17: up to the end of " ja"
    assert written == [len("ja nein"), len(" ja nein"), 0, len(TEXT) - len("ja nein ja nein")]
    assert trace.text == TEXT


def test_the_attention_asked_for_is_that_of_prefix_and_new_tokens_on_the_audio_heard() -> None:
    engine = ListeningTranslator(HEARD)
    translate(AlignAtt(tail_ms=300), engine)
    assert [request.continuation_ids for request in engine.asked[:2]] == [ids(TEXT[:10]), ids(TEXT[:20])]
    assert [len(request.audio.waveform) // 16 for request in engine.asked[:2]] == [1000, 2000]


def test_without_a_tail_the_model_decides() -> None:
    assert translate(AlignAtt(tail_ms=0)).steps == translate(SimulSA()).steps


@pytest.mark.parametrize("policy", [AlignAtt(tail_ms=60_000), EDAtt(alpha=0.0)], ids=str)
def test_the_most_patient_setting_is_offline_translation(policy: Policy) -> None:
    trace = translate(policy)
    assert trace.text == TEXT
    assert set(trace.delays_ms) == {3200.0}


def test_a_sink_at_the_end_of_the_audio_makes_nothing_wait() -> None:
    for policy in (AlignAtt(tail_ms=300), EDAtt(alpha=0.5, tail_ms=200)):
        assert translate(policy, ListeningTranslator(HEARD, sink=0.7)).steps[0].token_ids == ids("ja nein")


def test_an_attention_that_fails_fails_its_utterance() -> None:
    trace = translate(AlignAtt(tail_ms=300), ListeningTranslator(HEARD, deaf_at_ms=2000))
    assert trace.failure == "output_not_finite: nan"
    assert trace.text == ""


def test_an_engine_without_attention_is_refused_before_it_is_asked() -> None:
    engine = Translator(HEARD)
    with pytest.raises(EngineError, match="engine scripted cannot say where"):
        translate(AlignAtt(tail_ms=300), engine)
    assert engine.calls == []


MATRICES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8),
    elements=st.floats(0, 1, width=32, allow_subnormal=False),
)


@settings(deadline=None, max_examples=80)
@given(matrix=MATRICES)
def test_more_patience_never_writes_more(matrix: Attention) -> None:
    hypothesis, now = said(matrix.tolist()), seen(40.0 * matrix.shape[1])
    guarded = [AlignAtt(tail_ms=ms).writes(now, hypothesis) for ms in (0, 40, 80, 200, 400)]
    weighed = [EDAtt(alpha=alpha).writes(now, hypothesis) for alpha in (1.1, 0.5, 0.2, 0.05, 0.0)]
    assert guarded == sorted(guarded, reverse=True)
    assert weighed == sorted(weighed, reverse=True)
    assert guarded[0] == weighed[0] == len(matrix)
    assert guarded[-1] == weighed[-1] == 0
