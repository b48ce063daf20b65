"""PEFT adapters beside a base model: switched by name, never merged, and gone when none is asked for.

Taking off restores the model's own modules, so the base computes bit for bit what it did before any adapter.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from safetensors import safe_open

from lalm.errors import ModelError
from lalm.families import Family
from lalm.model_files import file_sha256, read_json

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
BASE_ENCODER = "base"


def adapter_digest(path: Path) -> str:
    """sha256 of an adapter's two files; ModelError when one is missing or the weights are pickled."""
    check_adapter(path)
    content = f"{file_sha256(path / CONFIG_FILE)}\n{file_sha256(path / WEIGHTS_FILE)}\n"
    return hashlib.sha256(content.encode()).hexdigest()


def check_adapter(path: Path) -> None:
    """Raise ModelError unless `path` holds a LoRA adapter in safetensors."""
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (path / file).is_file():
            hint = (
                " (a pickled adapter_model.bin is refused)" if (path / "adapter_model.bin").exists() else ""
            )
            raise ModelError(f"adapter {path}: no {file}{hint}; give a directory that fine-tuning wrote")
    kind = read_json(f"adapter {path}", path / CONFIG_FILE).get("peft_type")
    if kind != "LORA":
        raise ModelError(f"adapter {path}: peft_type is {kind!r}, but only LORA adapters are supported")


def merge_own_adapter(name: str, family: Family, model: Any, directory: Path) -> None:
    """Fold into the weights the LoRA that the family is released with, leaving the plain modules of its base.

    Raises ModelError when it is not in the model's directory: without it the model would run, and hear badly.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapter = directory / str(family.own_adapter)
    try:
        check_adapter(adapter)
    except ModelError as error:
        raise ModelError(
            f"model {name}: {family.name} hears with an adapter that is released beside its weights, and {error}; "
            "download the whole repository and point model.path at it"
        ) from error
    if (
        not model._hf_peft_config_loaded
    ):  # transformers has put on by itself what lies right beside the weights
        model.load_adapter(str(adapter))
    for path, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    del model.peft_config
    model._hf_peft_config_loaded = False


class Adapters:
    """Which adapters a model wears; one owner per model, shared by every engine over it."""

    def __init__(self, model: Any, family: Family) -> None:
        self._model = model
        self._family = family
        self._peft: Any = None
        self._encoder_keys: dict[str, str] = {}

    def wear(self, path: Path | None) -> str:
        """Switch to the adapter at `path` (None: the bare model); returns the key of the encoder it makes.

        The key is `base` unless the adapter changes what the audio encoder or projector computes.
        """
        if path is None:
            self._take_off()
            return BASE_ENCODER
        digest = adapter_digest(path)
        if digest not in self._encoder_keys:
            self._put_on(path, digest)
        if self._peft.active_adapter != digest:
            self._peft.set_adapter(digest)
            self._peft.requires_grad_(False)
        return self._encoder_keys[digest]

    def _put_on(self, path: Path, digest: str) -> None:
        from peft import PeftModel

        try:
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(self._model, path, adapter_name=digest)
            else:
                self._peft.load_adapter(path, adapter_name=digest)
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"adapter {path}: it does not fit this model ({error}); was it trained on another base?"
            ) from error
        self._peft.eval().requires_grad_(False)
        self._encoder_keys[digest] = digest if self._touches_encoder(path) else BASE_ENCODER

    def _take_off(self) -> None:
        if self._peft is not None:
            self._peft.unload()
            self._peft = None
            self._encoder_keys.clear()

    def _touches_encoder(self, path: Path) -> bool:
        with safe_open(path / WEIGHTS_FILE, framework="pt") as weights:
            names = list(weights.keys())
        return any(self._family.touches_encoder(name) for name in names)
