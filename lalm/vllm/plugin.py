"""The entry point of the group `vllm.general_plugins`: vLLM calls it in every process it starts.

It replaces stock Qwen2-Audio by a class that takes LoRA adapters and windows other than 30 s, and on CPU it keeps
adapters to the requests that ask for them.
"""

from __future__ import annotations


def register() -> None:
    """Tell vLLM where our Qwen2-Audio is, and mend its CPU kernels where they are used; imports no model."""
    from vllm import ModelRegistry
    from vllm.platforms import current_platform

    ModelRegistry.register_model(
        "Qwen2AudioForConditionalGeneration", "lalm.vllm.qwen2_audio:Qwen2AudioWithLoRA"
    )
    if current_platform.is_cpu():
        from lalm.vllm.cpu_lora import mend

        mend()
