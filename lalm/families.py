"""The model families simulsa knows, as data: where each keeps its parts and how a turn of it ends.

To add one: append a `Family` to `FAMILIES`, give it an audio encoding in `lalm.encodings` if its encoder is called
differently, and run the engine contract test on a randomly initialised model of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lalm.errors import ModelError

MEL_FRAMES_PER_SECOND = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One architecture: its Hugging Face class, its module names, its tokens, and the evidence that it works.

    `stop_tokens` end a turn, the chat's turn end first. `mel_frames_per_position` is the encoder's stride before
    pooling. `verified` says on what the code path was run: released weights, or a random initialisation.
    """

    model_type: str
    model_class: str
    audio_token: str
    stop_tokens: tuple[str, ...]
    encoder_module: str
    projector_module: str
    decoder_module: str
    lora_targets: tuple[str, ...]
    mel_frames_per_position: int
    template_source: str
    verified: Literal["real-weights", "random-init"]

    def lora_target_regex(self) -> str:
        """The modules LoRA adapts, for PEFT: the language model's projections, never the audio encoder's."""
        return rf".*{self.decoder_module}\.layers\.\d+\..*\.({'|'.join(self.lora_targets)})"

    def touches_encoder(self, parameter_name: str) -> bool:
        """Whether an adapter weight of this name changes what the audio encoder or projector computes."""
        return self.encoder_module in parameter_name or self.projector_module in parameter_name


QWEN2_AUDIO = Family(
    model_type="qwen2_audio",
    model_class="Qwen2AudioForConditionalGeneration",
    audio_token="<|AUDIO|>",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("<|im_end|>", "<|endoftext|>"),
    encoder_module="audio_tower",
    projector_module="multi_modal_projector",
    decoder_module="language_model",
    lora_targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    mel_frames_per_position=2,
    template_source="the chat template in Qwen/Qwen2-Audio-7B-Instruct's processor (ChatML, 'Audio 1: …')",
    verified="random-init",
)

FAMILIES: dict[str, Family] = {family.model_type: family for family in (QWEN2_AUDIO,)}


def family_of(model_type: str, name: str) -> Family:
    """The declared family of `model_type`; ModelError lists the known ones when there is none."""
    family = FAMILIES.get(model_type)
    if family is None:
        raise ModelError(
            f"model {name}: model_type {model_type!r} is not a declared family "
            f"(declared: {', '.join(sorted(FAMILIES))}); add a Family to lalm/families.py and run "
            "tests/lalm/test_engine_contract.py on it"
        )
    return family
