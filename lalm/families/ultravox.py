"""Ultravox: Whisper and a projector over a Llama, in Python code that comes with the weights and is never run here.

transformers has no class for it. vLLM has one, but takes the processor from that code, too: whoever trusts it starts a
server with --trust-remote-code and gives simulsa its URL, which builds the prompts from the tokenizer alone.
"""

from __future__ import annotations

from lalm.families.base import Family

ULTRAVOX = Family(
    name="Ultravox",
    models=("fixie-ai/ultravox-v0_5-llama-3_2-1b", "fixie-ai/ultravox-v0_5-llama-3_1-8b"),
    model_types=("ultravox",),
    model_class=None,
    audio_token="<|audio|>",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("<|eot_id|>", "<|end_of_text|>"),
    audio_in_text=True,
    encoder_module="audio_tower",
    projector_module="multi_modal_projector",
    decoder_module="language_model.model",
    max_audio_s=30,
    vllm_lora="unverified",
    template_source="the Llama 3 chat template of its tokenizer; its model card writes <|audio|> into the text",
    lora_source="every linear projection of the Llama decoder, as QLoRA (arXiv 2305.14314) recommends",
    window_source="one Whisper window",
    verified="not run",
    remark="Only behind a vLLM server that its owner started with --trust-remote-code.",
)
