"""LoRA on a loaded model for the length of a block: the base weights and modules are afterwards what they were."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save
from torch import Tensor

from augment.atomic import write_bytes
from lalm.loading import LoadedModel
from train.config import FinetuneConfig
from train.errors import TrainError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lora:
    """A LoRA in training: its PEFT wrapper, its weights by name, and whether they reach the audio encoder."""

    wrapper: Any
    parameters: dict[str, torch.nn.Parameter]
    touches_encoder: bool

    def save(self, directory: Path, base_name: str) -> None:
        """Write the adapter as PEFT reads it; equal weights give equal bytes, and no machine path is named."""
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self._state().items()}
        settings = self.wrapper.peft_config["default"].to_dict()
        settings |= {"base_model_name_or_path": base_name, "inference_mode": True}
        text = json.dumps(settings, indent=2, sort_keys=True, default=_jsonable)
        write_bytes(directory / "adapter_model.safetensors", save(weights, metadata={"format": "pt"}))
        write_bytes(directory / "adapter_config.json", (text + "\n").encode())

    def _state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = get_peft_model_state_dict(self.wrapper)
        return dict(sorted(state.items()))


@contextmanager
def lora_attached(loaded: LoadedModel, config: FinetuneConfig, seed: int) -> Iterator[Lora]:
    """Attach a fresh LoRA, initialised from `seed` alone, and take it off again, also after an error."""
    if any(isinstance(module, BaseTunerLayer) for module in loaded.model.modules()):
        raise TrainError(
            f"model {loaded.info.name} already wears an adapter: fine-tune before evaluating with adapters, or "
            "load the model afresh"
        )
    wrapper = _wrap(loaded, config, seed)
    try:
        parameters = {name: p for name, p in wrapper.named_parameters() if p.requires_grad}
        touches = any(loaded.info.family.touches_encoder(name) for name in parameters)
        yield Lora(wrapper=wrapper, parameters=parameters, touches_encoder=touches)
    finally:
        wrapper.unload()
        loaded.model.eval().requires_grad_(False)


def _wrap(loaded: LoadedModel, config: FinetuneConfig, seed: int) -> Any:
    """Only LoRA's own dropout trains; the base model's stays off, so that encodings may be reused."""
    targets = _targets(loaded, config)
    settings = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            wrapper = get_peft_model(loaded.model, settings)
        except ValueError as error:
            raise TrainError(
                f"finetune.target_modules={config.target_modules} fits no module ({error})"
            ) from error
    wrapper.eval()
    for module in wrapper.modules():
        if isinstance(module, BaseTunerLayer):
            module.train()
            module.get_base_layer().eval()
    return wrapper


def _targets(loaded: LoadedModel, config: FinetuneConfig) -> str | list[str]:
    if config.target_modules is not None:
        return list(config.target_modules)
    pattern = loaded.info.family.lora_target_regex()
    if not loaded.info.family.lora_by_name:
        return pattern
    return [name for name, _ in loaded.model.named_modules() if re.fullmatch(pattern, name)]


def _jsonable(value: object) -> object:
    """PEFT keeps some lists as sets, whose order changes from process to process."""
    return sorted(value) if isinstance(value, set) else str(value)
