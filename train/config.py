"""What a fine-tuning run is told; seed, data and model come from the run that owns it."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FinetuneConfig(BaseModel):
    """LoRA supervised fine-tuning; the control run has the same configuration and no augmented rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=150, ge=1, description="Optimizer steps.")
    batch_size: int = Field(
        default=32, ge=1, description="Examples per optimizer step, over all micro-batches."
    )
    accumulation: int = Field(
        default=1,
        ge=1,
        description="Micro-batches per step; must divide batch_size. Saves memory, not results.",
    )
    processes: int = Field(
        default=1,
        ge=1,
        description="Processes that share each step's batch, one per GPU of this machine, under torchrun; "
        "processes x accumulation must divide batch_size.",
    )
    learning_rate: float = Field(default=3e-4, gt=0, description="Peak learning rate of AdamW.")
    warmup_ratio: float = Field(
        default=0.05, ge=0, lt=1, description="Share of steps with a rising rate; a cosine to zero follows."
    )
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's decoupled weight decay.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Gradients are clipped to this global norm.")
    lora_r: int = Field(default=16, ge=1, description="Rank of the LoRA matrices.")
    lora_alpha: int = Field(
        default=32, ge=1, description="LoRA scale; the update is multiplied by alpha / r."
    )
    lora_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the LoRA input.")
    target_modules: tuple[str, ...] | None = Field(
        default=None,
        description="Module name endings that LoRA adapts; null: the language model's projections of the family. "
        "Naming a module of the audio encoder trains through it, without cached encodings.",
    )
    augmented_weight: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of all draws that are augmented rows; null: their natural share of the mixture. "
        "A larger one oversamples them and is reported.",
    )
    checkpoint_every: int = Field(default=50, ge=1, description="Steps between checkpoints to resume from.")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="Arithmetic of the forward pass; LoRA weights are always fp32."
    )

    @model_validator(mode="after")
    def _batch_is_shared_evenly(self) -> Self:
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation={self.accumulation} must divide batch_size={self.batch_size}")
        if self.batch_size % (self.accumulation * self.processes):
            raise ValueError(
                f"processes={self.processes} x accumulation={self.accumulation} must divide "
                f"batch_size={self.batch_size}"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """What decides the adapter's bytes; one process is not named, so that what it made is found again."""
        values = self.model_dump(mode="json")
        return values if self.processes > 1 else {k: v for k, v in values.items() if k != "processes"}
