"""Qwen2-Audio (arXiv 2407.10759): a Whisper encoder of one 30 s window, pooled to 25 positions a second."""

from __future__ import annotations

from lalm.families.base import Family

QWEN2_AUDIO = Family(
    name="Qwen2-Audio",
    models=("Qwen/Qwen2-Audio-7B-Instruct",),
    model_types=("qwen2_audio",),
    model_class="Qwen2AudioForConditionalGeneration",
    processor_class="Qwen2AudioProcessor",
    audio_token="<|AUDIO|>",  # noqa: S106 - a vocabulary entry, no secret
    stop_tokens=("<|im_end|>", "<|endoftext|>"),
    encoder_module="audio_tower",
    projector_module="multi_modal_projector",
    decoder_module="model.language_model",
    max_audio_s=30,
    window_in_config=True,
    released_sampling=(("temperature", 0.7), ("top_p", 0.5), ("top_k", 20), ("repetition_penalty", 1.1)),
    vllm_lora="plugin",
    template_source="the chat template in Qwen/Qwen2-Audio-7B-Instruct's processor (ChatML, 'Audio 1: …')",
    lora_source="every linear projection of the Qwen2 decoder, as QLoRA (arXiv 2305.14314) recommends",
    window_source="audio_config.max_source_positions, 20 ms each",
    verified="random-init",
    remark="lalm.encodings runs its encoder over the audio alone instead of the whole window.",
)
