"""The families as the table that the README shows."""

from __future__ import annotations

from collections.abc import Iterable

from lalm.families.base import Family

HEADER = ("family", "models", "placeholder", "window", "LoRA targets", "verified", "serves LoRA in vLLM")
VLLM_LORA = {"plugin": "with our plugin", "unverified": "its class says so; not run here", "no": "no"}


def table(families: Iterable[Family]) -> str:
    """A Markdown table, one family a line, that ends with a newline."""
    rows = [HEADER, ("---",) * len(HEADER), *map(_row, families)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(family: Family) -> tuple[str, ...]:
    return (
        family.name,
        ", ".join(f"`{model}`" for model in family.models),
        f"`{family.audio_token}`".replace("|", "\\|"),
        f"{family.max_audio_s:g} s",
        ", ".join(f"`{target}`" for target in family.lora_targets),
        family.verified,
        VLLM_LORA[family.vllm_lora],
    )
