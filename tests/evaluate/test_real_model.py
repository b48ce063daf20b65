"""The streaming rules on a real, if ignorant, audio language model, and every policy on the trained micro LALM."""

from pathlib import Path

import numpy as np
import pytest
import torch

from augment.audio import pcm_digest
from augment.corpora import CorpusConfig, open_corpus
from augment.schema import Utterance
from demo.corpus import build_corpus
from demo.model import MODEL_DIR
from evaluate.config import EvaluateConfig
from evaluate.curves import CurvePoint, score_traces
from evaluate.live import stream_live
from evaluate.policies import PolicyPoint
from evaluate.session import SpokenUtterance
from evaluate.stream import simulate
from lalm.attention import AttentionEngine, AttentiveEngine
from lalm.engine import AudioClip, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import LoadedModel, ModelConfig, load_model
from lalm.prompts import audio_token_id, build_prompt, decode
from lalm.transformers_engine import TransformersEngine
from tests.support.micro import random_micro_lalm, random_waveform

CONFIG = EvaluateConfig(max_new_tokens_per_step=6, max_new_tokens_offline=12)
DURATIONS_MS = (900, 1300, 2000)


def test_a_batched_simulation_writes_what_each_utterance_streamed_alone_does(tmp_path: Path) -> None:
    model = ModelConfig(path=str(random_micro_lalm(tmp_path, seed=3)), device="cpu")
    loaded = load_model(model)
    prompt = build_prompt(loaded, model, "en", "de")
    utterances = [
        SpokenUtterance(
            id=f"u{i}",
            waveform=random_waveform(i, ms * 16),
            sha=f"{i}",
            references=("eins zwei",),
            src_text=None,
        )
        for i, ms in enumerate(DURATIONS_MS)
    ]
    common = {
        "engine": TransformersEngine(loaded, batch_size=2),
        "prompt": prompt,
        "tokenizer": loaded.tokenizer,
        "chunk_ms": 400,
        "config": CONFIG,
        "adapter": None,
        "tgt_lang": "de",
    }
    traces = simulate(utterances, **common)  # type: ignore[arg-type]
    assert any(trace.text for trace in traces)
    for utterance, trace in zip(utterances, traces, strict=True):
        live = list(stream_live(utterance.waveform, sha=utterance.sha, **common))  # type: ignore[arg-type]
        assert [audio_ms for audio_ms, _ in live] == [step.audio_ms for step in trace.steps]
        assert "".join(text for _, text in live).strip() == trace.text
        tokens = [token for step in trace.steps for token in step.token_ids]
        assert decode(loaded.tokenizer, tokens).split() == [emission.unit for emission in trace.emissions]


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    path = random_micro_lalm(tmp_path_factory.mktemp("micro"), seed=3)
    return load_model(ModelConfig(path=str(path), device="cpu"))


def requests_of(loaded: LoadedModel) -> list[ScoreRequest]:
    prompt = build_prompt(loaded, ModelConfig(path="micro"), "en", "de")
    return [
        ScoreRequest(
            request_id=f"u{i}",
            prompt_ids=prompt.ids,
            audio=AudioClip(key=f"u{i}", waveform=random_waveform(i, ms * 16)),
            continuation_ids=tuple(range(100, 102 + 2 * i)),
        )
        for i, ms in enumerate(DURATIONS_MS)
    ]


def attention_of_the_whole_model(loaded: LoadedModel, request: ScoreRequest) -> torch.Tensor:
    """The mean over all layers and heads from the model's own forward, (tokens, audio positions)."""
    features = loaded.processor.feature_extractor(
        [request.audio.waveform], sampling_rate=16_000, return_attention_mask=True, return_tensors="pt"
    )
    frames = features["attention_mask"].sum(-1)
    _, [count] = loaded.model.model.audio_tower._get_feat_extract_output_lengths(frames)
    audio_id = audio_token_id(loaded.tokenizer, loaded.info.family)
    begin = request.prompt_ids.index(audio_id)
    ids = [*request.prompt_ids[:begin], *[audio_id] * int(count), *request.prompt_ids[begin + 1 :]]
    loaded.model.set_attn_implementation("eager")
    with torch.inference_mode():
        attentions = loaded.model(
            input_ids=torch.tensor([[*ids, *request.continuation_ids]]),
            input_features=features["input_features"],
            feature_attention_mask=features["attention_mask"],
            output_attentions=True,
        ).attentions
    loaded.model.set_attn_implementation("sdpa")
    rows = slice(len(ids) - 1, len(ids) - 1 + len(request.continuation_ids))
    return torch.stack(attentions).mean(dim=(0, 2))[0, rows, begin : begin + int(count)]


def test_attention_is_that_of_the_models_own_forward_whatever_the_batch(micro: LoadedModel) -> None:
    requests = requests_of(micro)
    found = dict(AttentiveEngine(micro, batch_size=3).attend(requests))
    for request in requests:
        expected = attention_of_the_whole_model(micro, request).numpy()
        assert found[request.request_id] == pytest.approx(expected, abs=1e-5)


def test_layers_can_be_chosen_and_average_to_all_of_them(micro: LoadedModel) -> None:
    engine, requests = AttentiveEngine(micro), requests_of(micro)
    first, second, both = (dict(engine.attend(requests, layers=layers)) for layers in ((0,), (1,), ()))
    for id_ in both:
        assert np.abs(first[id_] - second[id_]).max() > 1e-3
        assert (first[id_] + second[id_]) / 2 == pytest.approx(both[id_], abs=1e-6)


def test_asking_for_attention_changes_no_other_answer(micro: LoadedModel) -> None:
    engine, requests = AttentiveEngine(micro), requests_of(micro)
    before = dict(engine.score(requests))
    list(engine.attend(requests))
    assert dict(engine.score(requests)) == before


def test_nothing_said_has_no_attention_and_a_layer_beyond_the_last_is_refused(micro: LoadedModel) -> None:
    engine, [request, *_] = AttentiveEngine(micro), requests_of(micro)
    silent = ScoreRequest(
        request_id="u", prompt_ids=request.prompt_ids, audio=request.audio, continuation_ids=()
    )
    [(_, attention)] = engine.attend([silent])
    assert np.shape(attention) == (0, 0)
    with pytest.raises(EngineError, match="decoder layers 0 to 1"):
        engine.attend([request], layers=(1, 2))


def test_only_the_attentive_engine_is_one(micro: LoadedModel) -> None:
    assert isinstance(AttentiveEngine(micro), AttentionEngine)
    assert not isinstance(TransformersEngine(micro), AttentionEngine)


EXTREMES = EvaluateConfig.model_validate(
    {
        "policies": [
            {"kind": "simulsa"},
            {"kind": "wait-k", "k": [1, 5]},
            {"kind": "local-agreement", "chunk_ms": [320, 1280]},
            {"kind": "hold-n", "n": [2, 10]},
            {"kind": "retranslation", "chunk_ms": [640, 1600]},
            {"kind": "alignatt", "tail_ms": [80, 800], "layers": [2]},
            {"kind": "edatt", "alpha": [0.02, 0.8], "layers": [2]},
        ],
        "chunk_ms": [640, 1600],
        "base_chunk_ms": [],
        "include_offline": False,
    }
)
CURVES = {curve.name: curve.points for curve in EXTREMES.curves() if curve.system == "base"}


@pytest.fixture(scope="module")
def trained() -> LoadedModel:
    return load_model(ModelConfig(path=str(MODEL_DIR), device="cpu"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> list[SpokenUtterance]:
    root = tmp_path_factory.mktemp("toy")
    build_corpus(root / "corpus", num_train=1, num_dev=8, num_test=1, progress=False)
    corpus = open_corpus(
        CorpusConfig(
            name="toy", layout="covost2", root=str(root / "corpus"), src_lang="en", tgt_lang="de", license="x"
        ),
        "dev",
    )
    return [
        SpokenUtterance(
            id=u.id, waveform=(w := corpus.load_audio(u)), sha=pcm_digest(w), references=(u.tgt_text,)
        )
        for u in corpus
        if isinstance(u, Utterance)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_every_policy_buys_quality_with_latency_on_the_trained_model(
    name: str, trained: LoadedModel, toy: list[SpokenUtterance]
) -> None:
    engine, model = AttentiveEngine(trained), ModelConfig(path=str(MODEL_DIR))
    prompt = build_prompt(trained, model, "en", "de")

    def measured(point: PolicyPoint) -> CurvePoint:
        traces = simulate(
            toy, engine=engine, prompt=prompt, tokenizer=trained.tokenizer, chunk_ms=point.chunk_ms,
            config=EXTREMES, adapter=None, tgt_lang="de", policy=point.policy,
        )  # fmt: skip
        assert any(trace.delays_ms[0] < trace.source_ms for trace in traces if trace.delays_ms)
        return score_traces(traces, toy, tgt_lang="de", unit="word").point

    hasty, patient = map(measured, CURVES[name])
    assert hasty.n_failed == patient.n_failed == 0
    assert hasty.laal_ms < patient.laal_ms
    if name != "base+retranslation":  # its last translation is the offline one at any chunk size
        assert hasty.bleu < patient.bleu
