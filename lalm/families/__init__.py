"""The model families simulsa knows, a module each: where each keeps its parts, how it hears, and how a turn ends.

To add one: write a module with a `Family` beside these, name it in `FAMILIES`, build a random one in
tests/support/families.py and run tests/lalm/test_families.py. Nothing here imports torch or transformers.
"""

from __future__ import annotations

from lalm.errors import ModelError
from lalm.families.base import Family
from lalm.families.gemma3n import GEMMA_3N
from lalm.families.granite_speech import GRANITE_SPEECH
from lalm.families.phi4_multimodal import PHI_4_MULTIMODAL
from lalm.families.qwen2_5_omni import QWEN2_5_OMNI
from lalm.families.qwen2_audio import QWEN2_AUDIO
from lalm.families.qwen3_omni import QWEN3_OMNI
from lalm.families.table import table
from lalm.families.ultravox import ULTRAVOX
from lalm.families.voxtral import VOXTRAL

__all__ = ["FAMILIES", "QWEN2_AUDIO", "Family", "families_table", "family_of"]

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        QWEN2_AUDIO, QWEN2_5_OMNI, QWEN3_OMNI, VOXTRAL, ULTRAVOX, PHI_4_MULTIMODAL, GRANITE_SPEECH, GEMMA_3N,
    )
}  # fmt: skip


def family_of(model_type: str, name: str) -> Family:
    """The declared family of `model_type`; ModelError lists the known ones when there is none."""
    for family in FAMILIES.values():
        if model_type in family.model_types:
            return family
    known = ", ".join(f"{family.name} ({family.model_type})" for family in FAMILIES.values())
    raise ModelError(
        f"model {name}: model_type {model_type!r} is of no declared family (declared: {known}); to add one, write a "
        "module with a Family in lalm/families/, name it in FAMILIES and run tests/lalm/test_families.py on a random "
        "model of it"
    )


def families_table() -> str:
    """The declared families as the README's Markdown table."""
    return table(FAMILIES.values())
