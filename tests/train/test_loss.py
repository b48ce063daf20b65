"""Loss falls on target tokens and the turn end, and equals what transformers computes by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augment.audio import pcm_digest
from lalm.encodings import AudioEncodings, num_audio_positions
from lalm.engine import AudioClip
from lalm.loading import LoadedModel
from lalm.prompts import Prompt, audio_token_id, text_ids
from tests.support.micro import random_waveform
from train.data import TrainingExample
from train.loss import IGNORED, Batch, collate, summed_loss

TEXTS = ("Wir werden morgen", "", "Der Mann kauft heute zwei Äpfel.")


@pytest.fixture
def examples(loaded: LoadedModel, prompt: Prompt) -> list[TrainingExample]:
    return [example(loaded, prompt, text, 9_000 + 5_000 * i) for i, text in enumerate(TEXTS)]


def example(loaded: LoadedModel, prompt: Prompt, text: str, num_samples: int) -> TrainingExample:
    waveform = random_waveform(num_samples, num_samples)
    return TrainingExample(
        id=text,
        source="offline",
        clip=AudioClip(key=pcm_digest(waveform), waveform=waveform),
        target_ids=(*text_ids(loaded.tokenizer, text), prompt.stop_ids[0]),
    )


def laid_out(loaded: LoadedModel, prompt: Prompt, examples: list[TrainingExample]) -> Batch:
    lengths = [num_audio_positions(len(item.clip.waveform)) for item in examples]
    return collate(examples, prompt, audio_token_id(loaded.tokenizer, loaded.info.family), lengths)


def test_labels_are_the_target_and_its_turn_end_and_nothing_else(
    loaded: LoadedModel, prompt: Prompt, examples: list[TrainingExample]
) -> None:
    batch = laid_out(loaded, prompt, examples)

    for labels, item in zip(batch.labels, examples, strict=True):
        assert labels[labels != IGNORED].tolist() == list(item.target_ids)
        assert item.target_ids[-1] == prompt.stop_ids[0]


def test_an_empty_target_has_exactly_one_loss_bearing_token(
    loaded: LoadedModel, prompt: Prompt, examples: list[TrainingExample]
) -> None:
    labels = laid_out(loaded, prompt, examples).labels[1]

    assert labels[labels != IGNORED].tolist() == [prompt.stop_ids[0]]


def test_each_label_is_the_token_that_follows_its_position(
    loaded: LoadedModel, prompt: Prompt, examples: list[TrainingExample]
) -> None:
    batch = laid_out(loaded, prompt, examples)

    for ids, mask, labels in zip(batch.ids, batch.mask, batch.labels, strict=True):
        length = int(mask.sum())
        assert mask[:length].all()
        for position in range(length - 1):
            assert labels[position] in (IGNORED, ids[position + 1])
        assert labels[length - 1] == prompt.stop_ids[0]


def test_the_loss_is_what_the_model_itself_computes_from_its_processor(
    loaded: LoadedModel, prompt: Prompt, encodings: AudioEncodings, examples: list[TrainingExample]
) -> None:
    item = examples[2]
    text = loaded.processor.tokenizer.decode(prompt.ids)
    inputs = loaded.processor(
        text=[text], audio=[item.clip.waveform], sampling_rate=16_000, return_tensors="pt", padding=True
    )
    target = torch.tensor([item.target_ids])
    ids = torch.cat([inputs["input_ids"], target], dim=1)
    labels = torch.cat([torch.full_like(inputs["input_ids"], IGNORED), target], dim=1)
    with torch.no_grad():
        expected = loaded.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=inputs["input_features"],
            feature_attention_mask=inputs["feature_attention_mask"],
            labels=labels,
        ).loss
        found = summed_loss(loaded, [item], prompt, encodings=encodings) / len(item.target_ids)

    assert found == pytest.approx(float(expected), rel=1e-5)


def test_padding_and_neighbours_do_not_change_the_loss(
    loaded: LoadedModel, prompt: Prompt, encodings: AudioEncodings, examples: list[TrainingExample]
) -> None:
    with torch.no_grad():
        together = summed_loss(loaded, examples, prompt, encodings=encodings)
        alone = sum(summed_loss(loaded, [item], prompt, encodings=encodings) for item in examples)

    assert float(together) == pytest.approx(float(alone), rel=1e-5)


def test_training_through_the_encoder_has_the_same_loss_as_cached_encodings(
    loaded: LoadedModel, prompt: Prompt, encodings: AudioEncodings, examples: list[TrainingExample]
) -> None:
    with torch.no_grad():
        cached = summed_loss(loaded, examples, prompt, encodings=encodings)
        through = summed_loss(loaded, examples, prompt, encodings=None)

    assert float(cached) == pytest.approx(float(through), rel=1e-5)


def test_the_loss_listens(loaded: LoadedModel, prompt: Prompt, encodings: AudioEncodings) -> None:
    one, two = (example(loaded, prompt, TEXTS[0], num_samples) for num_samples in (12_000, 12_001))
    assert not np.array_equal(one.clip.waveform, two.clip.waveform[:12_000])

    with torch.no_grad():
        losses = {float(summed_loss(loaded, [item], prompt, encodings=encodings)) for item in (one, two)}
    assert len(losses) == 2
