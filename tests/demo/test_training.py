"""Training sees what inference sees: cropped features give the states of the full window."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor, WhisperFeatureExtractor

from demo.architecture import make_model, make_processor, make_tokenizer, save, text_of_language, user_turn
from demo.corpus import Spec, make_utterance
from demo.decoder import Prompt, Translator
from demo.encoder import WordLabels, encode_cropped, frame_accuracy, mel_batch
from demo.model import MAX_PARAMETERS
from demo.optimise import Schedule, Trainer, bucketed_batches
from demo.prepare import Example, _example, prepare, words_of_states
from demo.score import corpus_bleu

SPECS = [Spec(split="dev", index=index, seed=7) for index in range(3)]


@pytest.fixture(scope="module")
def processor() -> Qwen2AudioProcessor:
    return make_processor(make_tokenizer(text_of_language(300)))


@pytest.fixture(scope="module")
def model(processor: Qwen2AudioProcessor) -> Qwen2AudioForConditionalGeneration:
    return make_model(processor).eval()


@pytest.fixture(scope="module")
def examples(processor: Qwen2AudioProcessor) -> list[Example]:
    extractor: WhisperFeatureExtractor = processor.feature_extractor
    return [_example(extractor, spec)[0] for spec in SPECS]


def full_inputs(processor: Qwen2AudioProcessor) -> dict[str, torch.Tensor]:
    audios = [make_utterance(spec)[1].pcm.astype(np.float32) / 32768 for spec in SPECS]
    prompt = processor.apply_chat_template(user_turn(), tokenize=False, add_generation_prompt=True)
    texts = [prompt] * len(audios)
    return dict(processor(text=texts, audio=audios, sampling_rate=16_000, return_tensors="pt", padding=True))


def test_cropped_states_equal_those_of_the_full_window(
    processor: Qwen2AudioProcessor, model: Qwen2AudioForConditionalGeneration, examples: list[Example]
) -> None:
    seen: list[torch.Tensor] = []
    hook = model.model.audio_tower.register_forward_hook(
        lambda _m, _i, out: seen.append(out.last_hidden_state)
    )
    inputs = full_inputs(processor)
    with torch.no_grad():
        model(**inputs)
        cropped = encode_cropped(model.model.audio_tower, mel_batch(examples))
    hook.remove()
    for row, example in enumerate(examples):
        n = example.num_states
        assert int((inputs["input_ids"][row] == processor.audio_token_id).sum()) == n
        torch.testing.assert_close(cropped[row, :n], seen[0][row, :n], atol=1e-3, rtol=0)


def test_the_training_loss_is_the_loss_of_the_whole_model(
    processor: Qwen2AudioProcessor, model: Qwen2AudioForConditionalGeneration, examples: list[Example]
) -> None:
    tower = model.model.audio_tower
    with torch.no_grad():
        states = [
            row[: e.num_states]
            for row, e in zip(encode_cropped(tower, mel_batch(examples)), examples, strict=True)
        ]
        targets = [processor.tokenizer(e.translation).input_ids for e in examples]
        ours = Translator(model=model, prompt=Prompt.of(processor)).loss(states, targets)
        inputs = full_inputs(processor)
        total = count = 0.0
        for row, target in enumerate(targets):
            answer = torch.tensor([[*target, processor.tokenizer.eos_token_id]])
            prompt = inputs["input_ids"][row : row + 1]
            prompt = prompt[:, inputs["attention_mask"][row].bool()]
            ids = torch.cat([prompt, answer], dim=1)
            audio = {k: inputs[k][row : row + 1] for k in ("input_features", "feature_attention_mask")}
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **audio).logits
            guesses = logits[0, -answer.shape[1] - 1 : -1]
            total += float(torch.nn.functional.cross_entropy(guesses, answer[0], reduction="sum"))
            count += answer.shape[1]
    assert float(ours) == pytest.approx(total / count, abs=2e-3)


def test_a_random_model_has_fewer_than_five_million_parameters(
    model: Qwen2AudioForConditionalGeneration,
) -> None:
    assert sum(p.numel() for p in model.parameters()) < MAX_PARAMETERS


def test_a_saved_model_loads_and_keeps_the_one_in_memory_in_fp32(
    processor: Qwen2AudioProcessor, model: Qwen2AudioForConditionalGeneration, tmp_path: Path
) -> None:
    save(model, processor, tmp_path)
    loaded = Qwen2AudioForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
    assert model.lm_head.weight.dtype == loaded.lm_head.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.lm_head.weight, model.lm_head.weight, atol=1e-4, rtol=1e-3)


def test_states_are_named_by_the_word_at_their_middle() -> None:
    truth, _ = make_utterance(SPECS[0])
    names = words_of_states(truth, 200)
    assert names[0] == truth.source_words[0]
    assert names[-1] == ""
    assert list(dict.fromkeys(n for n in names if n)) == list(dict.fromkeys(truth.source_words))


def test_preparing_twice_reads_the_shards_of_the_first_time(tmp_path: Path) -> None:
    first, digest = prepare(SPECS, tmp_path, workers=1)
    stamp = next(tmp_path.iterdir()).stat().st_mtime_ns
    second, again = prepare(SPECS, tmp_path, workers=1)
    assert digest == again
    assert next(tmp_path.iterdir()).stat().st_mtime_ns == stamp
    assert all((a.mel == b.mel).all() for a, b in zip(first, second, strict=True))


def test_a_stage_that_was_interrupted_ends_with_the_same_weights(tmp_path: Path) -> None:
    schedule = Schedule(num_steps=6, batch_size=2, peak_rate=0.1, num_warmup=1, checkpoint_every=3)
    data = torch.arange(8.0)[:, None]
    batches = bucketed_batches(list(range(8)), schedule, seed=1)

    def run(name: str, batches: list[list[int]]) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(1, 1)
        trainer = Trainer(
            name=name,
            modules=torch.nn.ModuleList([layer]),
            schedule=schedule,
            loss_of=lambda batch, step: (layer(data[batch]) - step).square().mean(),
            checkpoint=tmp_path / f"{name}.pt",
        )
        trainer.run(batches)
        return layer.weight.detach()

    whole = run("whole", batches)
    run("halves", batches[:3])
    torch.testing.assert_close(run("halves", batches), whole)


def test_frame_accuracy_is_one_for_a_head_that_knows(
    model: Qwen2AudioForConditionalGeneration, examples: list[Example]
) -> None:
    labels = WordLabels(examples)

    class Oracle(torch.nn.Module):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            ranked = sorted(examples, key=lambda e: e.num_frames)
            wanted = labels.batch(ranked, states.shape[1]).clamp(min=0)
            return torch.nn.functional.one_hot(wanted, len(labels.names)).float()

    assert frame_accuracy(model.model.audio_tower, Oracle(), labels, examples) == 1.0


def test_bleu_accepts_any_valid_translation() -> None:
    references = [["a b c d e", "a c b d e"], ["f g h i j"]]
    assert corpus_bleu(["a c b d e", "f g h i j"], references) == pytest.approx(100)
