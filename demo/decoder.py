"""Stage 2: with the encoder frozen, the projector and the decoder learn to translate whole utterances.

Prompts come from the chat template through the processor's tokenizer, so training and every engine see
the same token ids. Right padding needs no mask because attention is causal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor, nn
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from demo.architecture import user_turn
from demo.encoder import encode_cropped, mel_batch
from demo.optimise import Schedule, Trainer, bucketed_batches
from demo.prepare import Example

DECODER_SCHEDULE = Schedule(num_steps=1500, batch_size=48, peak_rate=2e-3)
ENCODE_BATCH_SIZE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Token ids around the audio: the conversation's beginning and the invitation to answer."""

    before: list[int]
    after: list[int]
    turn_end: int

    @staticmethod
    def of(processor: Qwen2AudioProcessor) -> "Prompt":
        """Split the rendered conversation at its audio token."""
        text = processor.apply_chat_template(user_turn(), tokenize=False, add_generation_prompt=True)
        ids: list[int] = processor.tokenizer(text).input_ids
        at = ids.index(processor.audio_token_id)
        return Prompt(before=ids[:at], after=ids[at + 1 :], turn_end=processor.tokenizer.eos_token_id)


def encode_all(
    model: Qwen2AudioForConditionalGeneration, examples: Sequence[Example], path: Path
) -> list[Tensor]:
    """The frozen encoder's states of every example, [states, width] each, cached in half precision."""
    if path.exists():
        saved = torch.load(path)
        return list(torch.split(saved["states"], saved["lengths"]))
    states: dict[int, Tensor] = {}
    ranked = sorted(range(len(examples)), key=lambda i: examples[i].num_frames)
    starts = range(0, len(ranked), ENCODE_BATCH_SIZE)
    with torch.no_grad():
        for start in track(starts, "encoding"):
            part = ranked[start : start + ENCODE_BATCH_SIZE]
            encoded = encode_cropped(model.model.audio_tower, mel_batch([examples[i] for i in part]))
            states |= {i: row[: examples[i].num_states].half() for i, row in zip(part, encoded, strict=True)}
    ordered = [states[i] for i in range(len(examples))]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"states": torch.cat(ordered), "lengths": [len(s) for s in ordered]}, path)
    return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """Teacher forcing on cached encoder states."""

    model: Qwen2AudioForConditionalGeneration
    prompt: Prompt

    def loss(self, states: Sequence[Tensor], targets: Sequence[list[int]]) -> Tensor:
        """Cross-entropy of each target and its turn end, given prompt and audio."""
        inner = self.model.model
        embed = inner.language_model.get_input_embeddings()
        audio = inner.multi_modal_projector(torch.cat([row.float() for row in states]))
        audios = torch.split(audio, [len(s) for s in states])
        before, after = (embed(torch.tensor(ids)) for ids in (self.prompt.before, self.prompt.after))
        answers = [torch.tensor(ids) for ids in targets]
        rows = [
            torch.cat([before, sound.to(before.dtype), after, embed(answer)])
            for sound, answer in zip(audios, answers, strict=True)
        ]
        inputs = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # [batch, longest, width]
        hidden = inner.language_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        ends = [[*ids, self.prompt.turn_end] for ids in targets]
        wanted = torch.tensor([token for ids in ends for token in ids])
        spans = [
            row[len(embedded) - len(ids) : len(embedded)]
            for row, embedded, ids in zip(hidden, rows, ends, strict=True)
        ]
        logits = self.model.lm_head(torch.cat(spans))
        return nn.functional.cross_entropy(logits.float(), wanted)


def train_decoder(
    model: Qwen2AudioForConditionalGeneration,
    processor: Qwen2AudioProcessor,
    train: Sequence[Example],
    directory: Path,
    on_checkpoint: Callable[[int], None],
    schedule: Schedule = DECODER_SCHEDULE,
) -> None:
    """Train projector and decoder on all of the training examples."""
    states = encode_all(model, train, directory / "states.pt")
    targets: list[list[int]] = [processor.tokenizer(e.translation).input_ids for e in train]
    translator = Translator(model=model, prompt=Prompt.of(processor))
    modules = [model.model.multi_modal_projector, model.model.language_model, model.lm_head]
    trainer = Trainer(
        name="decoder",
        modules=nn.ModuleList(modules),
        schedule=schedule,
        loss_of=lambda batch, _step: translator.loss([states[i] for i in batch], [targets[i] for i in batch]),
        checkpoint=directory / "decoder.pt",
        on_checkpoint=on_checkpoint,
    )
    trainer.run(bucketed_batches([len(s) for s in states], schedule, seed=13))
