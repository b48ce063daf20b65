"""vLLM's CPU kernels for LoRA, mended: a row without an adapter wears none, whatever its neighbours wear.

vLLM marks such rows by the index -1. Its GPU kernels skip them; its CPU kernels (0.32.0, lora/ops/torch_ops) index the
adapters with it, which gives them the last one. So base requests in a batch with an adapter's were answered by it.
"""

from __future__ import annotations

from typing import Any


def mend() -> None:
    """Make rows without an adapter leave the low-rank buffer at zero; calling it twice changes nothing more."""
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    stock = lora_ops.bgmv_shrink
    if getattr(stock, "mended", False):
        return

    def bgmv_shrink(
        inputs: Any, lora_a_weights: Any, output_tensor: Any, lora_indices_tensor: Any, scaling: float = 1.0
    ) -> None:
        stock(inputs, lora_a_weights, output_tensor, lora_indices_tensor, scaling)
        output_tensor[lora_indices_tensor < 0] = 0

    bgmv_shrink.mended = True  # type: ignore[attr-defined]
    lora_ops.bgmv_shrink = bgmv_shrink  # sgmv_shrink, of prefills, calls it by this name
    punica_cpu.bgmv_shrink = bgmv_shrink
