"""The streaming rules on a real, if ignorant, audio language model."""

from pathlib import Path

from evaluate.config import EvaluateConfig
from evaluate.live import stream_live
from evaluate.session import SpokenUtterance
from evaluate.stream import simulate
from lalm.loading import ModelConfig, load_model
from lalm.prompts import build_prompt, decode
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
