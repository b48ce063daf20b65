"""The rules of acceptance, on log-probabilities written by hand, and what the engine is asked for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.partial import PartialConfig, partial_targets
from augment.random import uniform01
from augment.schema import AudioRef, PartialTarget, Rejection, TruncatedUtterance, Utterance
from augment.verify import accepted_count, margins
from lalm.engine import AudioClip, Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.prompts import Prompt, text_ids
from tests.support.micro import train_tokenizer
from tests.support.pieces import pieces_tokenizer

WORDS = ["wir", " werden", " morgen", " die", " Brücke", " besuchen"]
TOKENIZER = pieces_tokenizer(WORDS)
DRAFT = tuple(range(6))
PROMPT = Prompt(ids=(9, 10), stop_ids=(6,))
LIKELY, UNLIKELY = math.log(0.9), math.log(0.05)


def cut_of(id: str = "u1", num_samples: int = 32_000, kept_samples: int = 8_000) -> TruncatedUtterance:
    utterance = Utterance(
        id=id,
        corpus="toy",
        split="train",
        audio=AudioRef(path=f"{id}.wav"),
        src_lang="en",
        tgt_lang="de",
        src_text=None,
        tgt_text="Wir werden morgen in Berlin die alte Brücke besuchen.",
        license="cc0-1.0",
    )
    return TruncatedUtterance(
        id=id,
        draw=0,
        utterance=utterance,
        num_samples=num_samples,
        kept_samples=kept_samples,
        kept_ratio=kept_samples / num_samples,
        audio_sha256=f"full-{id}",
        kept_sha256=f"kept-{id}",
    )


def heard(audio: AudioClip) -> str:
    """Which audio a request brings, told by its key as well as by its samples."""
    kind = audio.key.split("-")[0] if "-" in audio.key else "silence"
    assert audio.key.endswith(f":{len(audio.waveform)}")
    assert bool(np.any(audio.waveform)) == (kind != "silence")
    return kind


@dataclass
class ScriptedEngine:
    """Says `drafts[heard]` and scores any draft with `logprobs[heard]`; `alone_*` answer requests asked alone."""

    drafts: Mapping[str, Generation] = field(default_factory=dict)
    logprobs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    alone_drafts: Mapping[str, Generation] = field(default_factory=dict)
    alone_logprobs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    window_samples: int = 64_000
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    @property
    def identity(self) -> dict[str, str]:
        return {"kind": "scripted"}

    def generate(
        self, requests: Iterable[GenerateRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Generation | Failure]]:
        for request in requests:
            drafts = self.alone_drafts if request.alone else self.drafts
            yield request.request_id, self._refuse("generate", request) or drafts[heard(request.audio)]

    def score(
        self, requests: Iterable[ScoreRequest], *, adapter: Path | None = None
    ) -> Iterator[tuple[str, Score | Failure]]:
        for request in requests:
            table = self.alone_logprobs if request.alone else self.logprobs
            refusal = self._refuse("score", request)
            yield (
                request.request_id,
                refusal or score_of(table[heard(request.audio)][: len(request.continuation_ids)]),
            )

    def close(self) -> None: ...

    def _refuse(self, verb: str, request: GenerateRequest | ScoreRequest) -> Failure | None:
        self.asked.append((verb, heard(request.audio), request.alone))
        if len(request.audio.waveform) > self.window_samples:
            return Failure(reason="exceeds_model_window", detail=f"{request.request_id} is too long")
        return None


def score_of(logprobs: tuple[float, ...]) -> Score:
    """The rival takes all that the token leaves."""
    rivals = tuple(math.log1p(-math.exp(logprob)) for logprob in logprobs)
    ranks = tuple(1 if own > rival else 2 for own, rival in zip(logprobs, rivals, strict=True))
    return Score(logprobs=logprobs, ranks=ranks, rival_logprobs=rivals)


def generation(*ids: int, finish: str = "stop", min_margin: float = 1.0) -> Generation:
    return Generation(token_ids=ids, finish=finish, min_margin=min_margin)  # type: ignore[arg-type]


def run(
    engine: ScriptedEngine, *cuts: TruncatedUtterance, **settings: object
) -> list[PartialTarget | Rejection]:
    items = [(cut, np.ones(cut.num_samples, np.float32)) for cut in cuts or (cut_of(),)]
    config = PartialConfig.model_validate(settings)
    return list(
        partial_targets(items, engine=engine, prompt=PROMPT, tokenizer=TOKENIZER, config=config, seed=7)
    )


def target(engine: ScriptedEngine, **settings: object) -> PartialTarget:
    (result,) = run(engine, **settings)
    assert isinstance(result, PartialTarget)
    return result


FULL_DRAFT = {"full": generation(*DRAFT)}


def probabilities(*values: float) -> tuple[float, ...]:
    return tuple(math.log(value) for value in values)


def test_greedy_keeps_words_while_they_are_the_argmax() -> None:
    kept = probabilities(0.9, 0.6, 0.55, 0.3, 0.9, 0.9)
    engine = ScriptedEngine(drafts=FULL_DRAFT, logprobs={"kept": kept})
    result = target(engine)
    assert result.text == "wir werden morgen"
    assert result.token_ids == (0, 1, 2)
    assert result.accepted_tokens == 3
    assert result.draft_ids == DRAFT
    assert result.draft_text == "wir werden morgen die Brücke besuchen"
    assert result.kept_logprobs == kept
    assert result.rival_logprobs == pytest.approx(probabilities(0.1, 0.4, 0.45, 0.7, 0.1, 0.1))
    assert result.mean_logprob == pytest.approx(sum(kept[:3]) / 3)
    assert result.other_logprobs == ()
    assert not result.near_tie
    assert engine.asked == [("generate", "full", False), ("score", "kept", False)]


def test_threshold_keeps_words_while_they_are_probable() -> None:
    engine = ScriptedEngine(
        drafts=FULL_DRAFT, logprobs={"kept": probabilities(0.9, 0.71, 0.6, 0.9, 0.9, 0.9)}
    )
    assert target(engine, rule="threshold").text == "wir werden"
    assert target(engine, rule="threshold", threshold=0.5).text == "wir werden morgen die Brücke besuchen"
    assert target(engine, rule="threshold", threshold=0.8).text == "wir"


def test_ratio_forgives_words_that_are_unlikely_even_with_the_full_audio() -> None:
    engine = ScriptedEngine(
        drafts=FULL_DRAFT,
        logprobs={
            "kept": probabilities(0.9, 0.1, 0.9, 0.2, 0.9, 0.9),
            "full": probabilities(0.9, 0.15, 0.9, 0.8, 0.9, 0.9),
        },
    )
    result = target(engine, rule="ratio")
    assert result.text == "wir werden morgen"
    assert result.other_logprobs == engine.logprobs["full"]
    assert engine.asked[1:] == [("score", "kept", False), ("score", "full", False)]


def test_contrast_rejects_words_that_are_guessed_without_hearing() -> None:
    engine = ScriptedEngine(
        drafts=FULL_DRAFT,
        logprobs={
            "kept": probabilities(0.9, 0.9, 0.9, 0.9, 0.9, 0.9),
            "silence": probabilities(0.1, 0.3, 0.8, 0.1, 0.1, 0.1),
        },
    )
    assert target(engine, rule="contrast").text == "wir werden"
    assert target(engine, rule="contrast", threshold=1.2).text == "wir"
    assert ("score", "silence", False) in engine.asked


def test_stochastic_accepts_with_the_ratio_as_probability() -> None:
    kept, full = probabilities(*[0.4] * 6), probabilities(*[0.8] * 6)
    engine = ScriptedEngine(drafts=FULL_DRAFT, logprobs={"kept": kept, "full": full})
    cuts = [cut_of(f"u{n}") for n in range(400)]
    accepted = [
        r.accepted_tokens for r in run(engine, *cuts, rule="stochastic") if isinstance(r, PartialTarget)
    ]
    draws = [[uniform01(7, f"stochastic:{t}", "toy", cut.id) for t in range(6)] for cut in cuts]
    assert accepted == [next((t for t, u in enumerate(row) if u >= 0.5), 6) for row in draws]
    assert np.mean([n > 0 for n in accepted]) == pytest.approx(0.5, abs=0.1)


def test_stochastic_never_rejects_what_the_kept_audio_makes_likelier() -> None:
    engine = ScriptedEngine(
        drafts=FULL_DRAFT, logprobs={"kept": probabilities(*[0.8] * 6), "full": probabilities(*[0.4] * 6)}
    )
    results = run(engine, *[cut_of(f"u{n}") for n in range(50)], rule="stochastic")
    assert {r.accepted_tokens for r in results if isinstance(r, PartialTarget)} == {6}


def test_generate_keeps_all_that_is_said_to_the_kept_audio() -> None:
    engine = ScriptedEngine(drafts={"kept": generation(0, 1, 2)})
    result = target(engine, rule="generate")
    assert result.text == result.draft_text == "wir werden morgen"
    assert result.kept_logprobs == ()
    assert result.mean_logprob is None
    assert engine.asked == [("generate", "kept", False)]


def test_a_reference_draft_is_tokenised_not_generated() -> None:
    tokenizer = train_tokenizer()
    cut = cut_of()
    draft = text_ids(tokenizer, cut.utterance.tgt_text)
    engine = ScriptedEngine(logprobs={"kept": (LIKELY,) * len(draft)})
    (result,) = partial_targets(
        [(cut, np.ones(cut.num_samples, np.float32))],
        engine=engine, prompt=PROMPT, tokenizer=tokenizer, config=PartialConfig(draft="reference"), seed=7,
    )  # fmt: skip
    assert isinstance(result, PartialTarget)
    assert result.draft_ids == draft
    assert result.text == cut.utterance.tgt_text
    assert engine.asked == [("score", "kept", False)]


def test_an_empty_target_is_legal() -> None:
    engine = ScriptedEngine(drafts=FULL_DRAFT, logprobs={"kept": (UNLIKELY,) * 6})
    result = target(engine)
    assert (result.text, result.token_ids, result.accepted_tokens, result.mean_logprob) == ("", (), 0, None)


def test_an_empty_draft_gives_an_empty_target() -> None:
    engine = ScriptedEngine(drafts={"full": generation()}, logprobs={"kept": ()})
    assert target(engine).text == ""


def test_a_capped_draft_is_used_without_its_last_word() -> None:
    engine = ScriptedEngine(
        drafts={"full": generation(*DRAFT, finish="length")}, logprobs={"kept": (LIKELY,) * 6}
    )
    result = target(engine)
    assert result.accepted_tokens == 6
    assert result.text == "wir werden morgen die Brücke"


def test_a_decision_close_to_its_boundary_is_scored_alone_and_flagged() -> None:
    close = (LIKELY, LIKELY, math.log(0.5 + 1e-5), UNLIKELY, LIKELY, LIKELY)
    alone = (LIKELY, LIKELY, math.log(0.5 - 1e-5), UNLIKELY, LIKELY, LIKELY)
    engine = ScriptedEngine(drafts=FULL_DRAFT, logprobs={"kept": close}, alone_logprobs={"kept": alone})
    result = target(engine)
    assert result.near_tie
    assert result.text == "wir werden"
    assert result.kept_logprobs == alone
    assert engine.asked[-1] == ("score", "kept", True)


def test_a_close_first_rejection_is_a_near_tie_and_what_comes_after_is_not() -> None:
    at = math.log(0.5 - 1e-5)
    rejected = ScriptedEngine(
        drafts=FULL_DRAFT,
        logprobs={"kept": (LIKELY, at, *[LIKELY] * 4)},
        alone_logprobs={"kept": (LIKELY,) * 6},
    )
    assert target(rejected).near_tie
    later = ScriptedEngine(drafts=FULL_DRAFT, logprobs={"kept": (LIKELY, UNLIKELY, at, *[LIKELY] * 3)})
    assert not target(later).near_tie


def test_both_scores_of_a_near_tie_are_taken_alone() -> None:
    engine = ScriptedEngine(
        drafts=FULL_DRAFT,
        logprobs={"kept": probabilities(*[0.4] * 6), "full": probabilities(*[0.8] * 6)},
        alone_logprobs={"kept": probabilities(*[0.3] * 6), "full": probabilities(*[0.8] * 6)},
    )
    result = target(engine, rule="ratio")
    assert result.near_tie
    assert result.text == ""
    assert engine.asked[-2:] == [("score", "kept", True), ("score", "full", True)]


def test_a_draft_won_by_a_hair_is_generated_again_alone() -> None:
    engine = ScriptedEngine(
        drafts={"full": generation(0, 1, min_margin=1e-5)},
        alone_drafts={"full": generation(0, 2, min_margin=1e-5)},
        logprobs={"kept": (LIKELY,) * 2},
    )
    result = target(engine)
    assert result.near_tie
    assert result.draft_ids == (0, 2)


def test_the_window_binds_only_audio_that_the_model_hears() -> None:
    engine = ScriptedEngine(
        drafts=FULL_DRAFT,
        logprobs={"kept": (LIKELY,) * 60, "full": (LIKELY,) * 60},
        window_samples=10_000,
    )
    tokenizer = train_tokenizer()

    def outcome(**settings: object) -> PartialTarget | Rejection:
        cut = cut_of(num_samples=32_000, kept_samples=8_000)
        config = PartialConfig.model_validate(settings)
        items = [(cut, np.ones(cut.num_samples, np.float32))]
        (result,) = partial_targets(
            items, engine=engine, prompt=PROMPT, tokenizer=tokenizer, config=config, seed=7
        )
        return result

    assert isinstance(outcome(draft="reference", rule="greedy"), PartialTarget)
    assert isinstance(outcome(draft="reference", rule="threshold"), PartialTarget)
    for settings in ({"draft": "self"}, {"draft": "reference", "rule": "ratio"}):
        rejection = outcome(**settings)
        assert isinstance(rejection, Rejection)
        assert (rejection.id, rejection.stage, rejection.reason) == ("u1", "generate", "exceeds_model_window")


def test_a_failing_utterance_leaves_the_others_alone_and_the_order_stands() -> None:
    engine = ScriptedEngine(drafts=FULL_DRAFT, logprobs={"kept": (LIKELY,) * 6}, window_samples=40_000)
    cuts = [cut_of("a"), cut_of("b", num_samples=50_000), cut_of("c")]
    results = run(engine, *cuts)
    assert [r.id for r in results] == ["a", "b", "c"]
    assert [type(r) for r in results] == [PartialTarget, Rejection, PartialTarget]


def test_a_lazy_stream_is_taken_in_groups() -> None:
    taken: list[str] = []

    def stream() -> Iterator[tuple[TruncatedUtterance, np.ndarray]]:
        for n in range(5):
            taken.append(f"u{n}")
            yield cut_of(f"u{n}"), np.ones(32_000, np.float32)

    engine = ScriptedEngine(drafts=FULL_DRAFT, logprobs={"kept": (LIKELY,) * 6})
    results = partial_targets(
        stream(),
        engine=engine,
        prompt=PROMPT,
        tokenizer=TOKENIZER,
        config=PartialConfig(),
        seed=7,
        group_size=2,
    )
    next(results)
    assert taken == ["u0", "u1"]
    assert len(list(results)) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "greedy", "threshold": 0.5}, "has no meaning for rule 'greedy'"),
        ({"rule": "threshold", "threshold": 1.5}, "probability in"),
        ({"rule": "ratio", "threshold": 0.0}, "must be above 0"),
    ],
)
def test_a_threshold_that_means_nothing_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PartialConfig.model_validate(settings)


@given(st.lists(st.floats(-8, -0.01), min_size=1, max_size=10))
def test_greedy_equals_the_longest_prefix_of_argmaxes(logprobs: list[float]) -> None:
    score = score_of(tuple(logprobs))
    decisions = margins(PartialConfig(), score, None, seed=0, corpus="c", id="i")
    assert accepted_count(decisions) == next(
        (t for t, rank in enumerate(score.ranks) if rank != 1), len(logprobs)
    )


@given(st.lists(st.floats(-8, -0.01), min_size=1, max_size=10), st.floats(0.05, 1), st.floats(0.05, 1))
def test_a_higher_threshold_never_accepts_more(logprobs: list[float], one: float, two: float) -> None:
    score = score_of(tuple(logprobs))
    counts = [
        accepted_count(
            margins(PartialConfig(rule="threshold", threshold=t), score, None, seed=0, corpus="c", id="i")
        )
        for t in sorted((one, two))
    ]
    assert counts[0] >= counts[1]
