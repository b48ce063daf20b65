"""Speech in one piece is translated as well as the same speech cut by an oracle; benchmarks/streaming.py has more."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest

from augment.audio import pcm_digest
from demo.corpus import Spec, make_utterance
from demo.model import MODEL_DIR
from evaluate.config import EvaluateConfig
from evaluate.latency import queue_clock
from evaluate.latency.timed import timed_output
from evaluate.long_form import LongFormConfig
from evaluate.policies import LocalAgreement
from evaluate.quality import report_quality
from evaluate.resegment import Segment, cut_recording
from evaluate.session import SpokenUtterance
from evaluate.stream import simulate
from evaluate.trace import StreamTrace
from lalm.loading import LoadedModel, ModelConfig, load_model
from lalm.prompts import build_prompt
from lalm.transformers_engine import TransformersEngine

pytestmark = pytest.mark.slow

SENTENCES = 16
WINDOW = LongFormConfig(window_ms=8000, keep_ms=4000, history_words=0, pause_ms=280)
"""The micro LALM was trained on single sentences without any text before them, so it is given neither."""


@pytest.fixture(scope="module")
def trained() -> LoadedModel:
    return load_model(ModelConfig(path=str(MODEL_DIR), device="cpu"))


@pytest.fixture(scope="module")
def sentences() -> list[SpokenUtterance]:
    made = [make_utterance(Spec(split="dev", index=index, seed=7)) for index in range(SENTENCES)]
    return [spoken(truth.id, speech.pcm / np.float32(32768), truth.references) for truth, speech in made]


def spoken(id_: str, waveform: np.ndarray, references: Sequence[str]) -> SpokenUtterance:
    return SpokenUtterance(id=id_, waveform=waveform, sha=pcm_digest(waveform), references=tuple(references))


def stream(
    loaded: LoadedModel, utterances: Sequence[SpokenUtterance], long_form: LongFormConfig | None
) -> list[StreamTrace]:
    return simulate(
        utterances, engine=TransformersEngine(loaded),
        prompt=build_prompt(loaded, ModelConfig(path=str(MODEL_DIR)), "en", "de"), tokenizer=loaded.tokenizer,
        chunk_ms=1280, config=EvaluateConfig(chunk_ms=(1280,), base_chunk_ms=(), long_form=long_form), adapter=None,
        tgt_lang="de", policy=LocalAgreement(n=2),
    )  # fmt: skip


def bleu(texts: Sequence[str], sentences: Sequence[SpokenUtterance]) -> float:
    return report_quality(texts, [sentence.references for sentence in sentences], lang="de").bleu


def test_one_recording_is_within_three_bleu_of_its_sentences(
    trained: LoadedModel, sentences: list[SpokenUtterance]
) -> None:
    cut_by_oracle = bleu([trace.text for trace in stream(trained, sentences, None)], sentences)
    recording = spoken("recording", np.concatenate([s.waveform for s in sentences]), ["x"])
    [trace] = stream(trained, [recording], WINDOW)
    ends = accumulate(sentence.source_ms for sentence in sentences)
    segments = [
        Segment(recording="recording", offset_ms=end - s.source_ms, duration_ms=s.source_ms, reference=s.references[0])
        for s, end in zip(sentences, ends, strict=True)
    ]  # fmt: skip
    cuts = cut_recording(timed_output(trace, None, "word", queue_clock), segments, alignment="mwer")
    assert bleu([cut.text for cut in cuts], sentences) >= cut_by_oracle - 3
    assert cut_by_oracle > 90
