"""What is particular to the transformers engine: precision, damaged weights, batches, memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lalm.batching import batches, num_positions
from lalm.encodings import AudioEncodings
from lalm.engine import AudioClip, Failure, GenerateRequest, Generation, Score, ScoreRequest
from lalm.errors import EngineError
from lalm.loading import LoadedModel, ModelConfig, load_model
from lalm.prompts import build_prompt
from lalm.transformers_engine import TransformersEngine
from tests.support.micro import random_waveform


def requests(loaded: LoadedModel, count: int = 5, **changes: object) -> list[GenerateRequest]:
    prompt = build_prompt(loaded, ModelConfig(path="unused"), "en", "de")
    clips = [AudioClip(key=f"{n}", waveform=random_waveform(n, 4_000 + 9_000 * n)) for n in range(count)]
    return [
        GenerateRequest(request_id=f"r{n}", prompt_ids=prompt.ids, audio=clip, max_new_tokens=5, **changes)  # type: ignore[arg-type]
        for n, clip in enumerate(clips)
    ]


def test_bfloat16_answers_every_request(micro_dir: Path) -> None:
    half = load_model(ModelConfig(path=str(micro_dir), device="cpu", dtype="bfloat16"))
    engine = TransformersEngine(half, batch_size=2)
    assert engine.identity["dtype"] == "bfloat16"
    asked = requests(half)
    assert all(isinstance(result, Generation) for _, result in engine.generate(asked))
    scored = dict(
        engine.score(
            ScoreRequest(
                request_id=r.request_id, prompt_ids=r.prompt_ids, audio=r.audio, continuation_ids=(40,)
            )
            for r in asked
        )
    )
    assert all(isinstance(result, Score) for result in scored.values())


def test_damaged_weights_fail_every_request_instead_of_giving_empty_targets(micro_dir: Path) -> None:
    damaged = load_model(ModelConfig(path=str(micro_dir), device="cpu"))
    damaged.model.lm_head.weight.data[7, 3] = torch.nan
    engine = TransformersEngine(damaged)
    asked = requests(damaged, count=2)
    answers = [result for _, result in engine.generate(asked)]
    answers += [
        result  # type: ignore[misc]
        for _, result in engine.score(
            ScoreRequest(
                request_id=r.request_id, prompt_ids=r.prompt_ids, audio=r.audio, continuation_ids=(40,)
            )
            for r in asked
        )
    ]
    assert len(answers) == 4
    assert all(isinstance(a, Failure) and a.reason == "output_not_finite" for a in answers)


def test_running_out_of_memory_names_the_setting_to_lower(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(*_args: object, **_kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    encodings = AudioEncodings()
    monkeypatch.setattr(encodings, "get_batch", exhaust)
    with pytest.raises(EngineError, match=r"5 requests at once .*engine\.batch_size is 8"):
        list(TransformersEngine(loaded, batch_size=8, encodings=encodings).generate(requests(loaded)))


def test_batches_hold_requests_of_similar_length_and_alone_ones_by_themselves(loaded: LoadedModel) -> None:
    mixed = requests(loaded, count=6)[::-1]
    alone = requests(loaded, count=2, alone=True)
    made = list(batches([*alone, *mixed], batch_size=4))
    assert [len(batch) for batch in made] == [4, 2, 1, 1]
    lengths = [num_positions(request) for batch in made[:2] for request in batch]
    assert lengths == sorted(lengths)
    assert all(request.alone for batch in made[2:] for request in batch)


def test_results_come_out_batch_by_batch_not_at_the_end(loaded: LoadedModel) -> None:
    encodings = AudioEncodings()
    engine = TransformersEngine(loaded, batch_size=2, encodings=encodings)
    results = engine.generate(requests(loaded, count=6))
    next(results)
    assert encodings.encoded == 2


def test_equal_audio_under_many_prompts_is_encoded_once(loaded: LoadedModel) -> None:
    encodings = AudioEncodings()
    engine = TransformersEngine(loaded, encodings=encodings)
    asked = requests(loaded, count=3)
    list(engine.generate(asked))
    list(engine.generate(requests(loaded, count=3, forced_ids=(40,))))
    assert encodings.encoded == 3
