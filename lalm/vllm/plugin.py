"""The entry point of the group `vllm.general_plugins`: vLLM calls it in every process it starts.

It replaces stock Qwen2-Audio by a class that takes LoRA adapters and windows other than 30 s.
"""

from __future__ import annotations


def register() -> None:
    """Tell vLLM where our Qwen2-Audio is; imports neither torch nor the model."""
    from vllm import ModelRegistry

    ModelRegistry.register_model(
        "Qwen2AudioForConditionalGeneration", "lalm.vllm.qwen2_audio:Qwen2AudioWithLoRA"
    )
