"""Models from a directory or the Hub: inspected cheaply before any work, then loaded once for inference.

Only safetensors and only declared families are loaded; code that comes with a model is never run.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from pydantic import BaseModel, ConfigDict, Field, field_validator
from safetensors import SafetensorError

from lalm import hub
from lalm.adapters import Adapters, merge_own_adapter
from lalm.errors import ModelError
from lalm.families import Family, family_of
from lalm.model_files import check_directory, check_file_names, directory_digest, read_json

SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_ENCODER_POSITION = 320
"""A Whisper encoder's stride before pooling: two mel frames of 10 ms."""


class ModelConfig(BaseModel):
    """Which LALM, in which precision, and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="Directory or Hub id (owner/name) of the LALM.")
    revision: str | None = Field(
        default=None, description="Hub branch, tag or commit; resolved to a commit before work starts."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Precision of weights and arithmetic; batch-exact results need float32.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: cuda where there is one."
    )
    trust_remote_code: Literal[False] = Field(
        default=False, description="Always false: code that comes with a model is never run."
    )
    instruction: str = Field(
        default="Translate the {src} speech into {tgt}.",
        description="What the user turn says after the audio; {src} and {tgt} become language names.",
    )

    @field_validator("instruction")
    @classmethod
    def _instruction_formats(cls, value: str) -> str:
        try:
            value.format(src="English", tgt="German")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"only {{src}} and {{tgt}} may stand in braces, got {value!r}") from error
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a model before it is loaded.

    `digest` is the commit sha of a Hub model, else sha256 over the deciding files. `directory` is None for a Hub
    model that is not downloaded yet.
    """

    name: str
    directory: Path | None
    digest: str
    family: Family
    window_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingProcessor:
    """The audio side of a processor: its picture side, which would need torchvision, is never loaded."""

    family: Family
    feature_extractor: Any
    tokenizer: Any
    chat_template: str

    def apply_chat_template(self, conversation: list[dict[str, Any]], **options: Any) -> Any:
        """The tokenizer's own, over the processor's template."""
        return self.tokenizer.apply_chat_template(conversation, chat_template=self.chat_template, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in eval mode with its processor, and the adapters it may wear (`adapters.wear(None)`: the bare model)."""

    model: Any
    processor: Any
    tokenizer: Any
    adapters: Adapters
    info: ModelInfo
    device: torch.device
    dtype: torch.dtype


def inspect_model(config: ModelConfig) -> ModelInfo:
    """Check in seconds that the model exists, is safe to load and of a known family; raises ModelError if not."""
    if hub.is_hub_id(config.path):
        commit, names = hub.resolve(config.path, config.revision)
        check_file_names(config.path, names)
        config_json = hub.download_file(config.path, commit, "config.json")
        return _info(config.path, None, commit, read_json(config.path, config_json))
    directory = Path(config.path)
    check_directory(config.path, directory)
    settings = read_json(config.path, directory / "config.json")
    return _info(config.path, directory, directory_digest(directory), settings)


def load_model(config: ModelConfig) -> LoadedModel:
    """Load the inspected model onto its device, in eval mode and without gradients."""
    info = inspect_model(config)
    device = choose_device(config.device)
    dtype: torch.dtype = getattr(torch, config.dtype)
    processor = load_processor(info, config)
    model = _load_weights(info, dtype).to(device).eval().requires_grad_(False)
    return LoadedModel(
        model=model,
        processor=processor,
        tokenizer=processor.tokenizer,
        adapters=Adapters(model, info.family),
        info=info,
        device=device,
        dtype=dtype,
    )


def load_processor(info: ModelInfo, config: ModelConfig) -> Any:
    """The inspected model's processor alone, without its weights: enough to build prompts."""
    _check_packages(info)
    directory = info.directory or hub.download(config.path, info.digest, without_weights=True)
    try:
        if info.family.processor_class is None:
            processor = _hearing_processor(info.family, directory)
        else:
            processor = transformers.AutoProcessor.from_pretrained(directory, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise ModelError(f"model {info.name}: its processor cannot be loaded ({error})") from error
    if processor.feature_extractor is not None:
        _check_features(info, processor.feature_extractor)
    return processor


def local_directory(info: ModelInfo) -> Path:
    """The model's own directory, or where its Hub snapshot lies once it is downloaded."""
    return info.directory or hub.download(info.name, info.digest)


def choose_device(device: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The torch device meant by the configuration; ModelError when cuda is asked for and there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "model.device is cuda but torch sees no GPU; set it to auto or cpu, or check the driver"
        )
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def _info(name: str, directory: Path | None, digest: str, settings: dict[str, object]) -> ModelInfo:
    family = family_of(str(settings.get("model_type")), name)
    return ModelInfo(
        name=name,
        directory=directory,
        digest=digest,
        family=family,
        window_samples=_window_samples(name, family, settings),
    )


def _window_samples(name: str, family: Family, settings: dict[str, object]) -> int:
    longest = int(family.max_audio_s * SAMPLE_RATE_HZ)
    audio = settings.get("audio_config")
    if not family.window_in_config or not isinstance(audio, dict):
        return longest
    positions = audio.get("max_source_positions", longest // SAMPLES_PER_ENCODER_POSITION)
    if not isinstance(positions, int) or positions < 1:
        raise ModelError(
            f"model {name}: audio_config.max_source_positions must be a positive int, got {positions!r}"
        )
    return positions * SAMPLES_PER_ENCODER_POSITION


def _hearing_processor(family: Family, directory: Path) -> HearingProcessor:
    """The parts that hear; a family that transformers cannot run needs no features, only prompts."""
    settings, _ = transformers.ProcessorMixin.get_processor_dict(directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    extractor = None
    if family.model_class is not None:
        extractor = transformers.AutoFeatureExtractor.from_pretrained(directory, trust_remote_code=False)
    return HearingProcessor(
        family=family,
        feature_extractor=extractor,
        tokenizer=tokenizer,
        chat_template=settings.get("chat_template") or tokenizer.get_chat_template(),
    )


def _check_packages(info: ModelInfo) -> None:
    missing = [name for name in info.family.needs if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"model {info.name}: {info.family.name} needs {' and '.join(missing)}, which simulsa does not install: "
            f"pip install {' '.join(missing)}"
        )


def _check_features(info: ModelInfo, features: Any) -> None:
    if features.sampling_rate != SAMPLE_RATE_HZ:
        raise ModelError(
            f"model {info.name}: its feature extractor takes {features.sampling_rate} Hz, but audio is "
            f"{SAMPLE_RATE_HZ} Hz everywhere in simulsa; a model of this kind cannot be used"
        )
    if info.family.window_in_config and features.n_samples != info.window_samples:
        raise ModelError(
            f"model {info.name}: its feature extractor takes {features.n_samples} samples but its encoder "
            f"{info.window_samples}; set chunk_length to the encoder's window"
        )


def _load_weights(info: ModelInfo, dtype: torch.dtype) -> Any:
    directory = local_directory(info)
    model_class = getattr(transformers, str(info.family.model_class), None)
    if model_class is None:
        raise ModelError(
            f"model {info.name}: transformers {transformers.__version__} has no class for {info.family.name}, and the "
            "code that comes with its weights is never run (model.trust_remote_code is always false); take a model of "
            "another family, or, where you trust that code, start a vLLM server with --trust-remote-code yourself and "
            "name it as engine.kind vllm-server"
        )
    try:
        model, report = model_class.from_pretrained(
            directory,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"model {info.name}: its weights cannot be loaded ({error})") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"model {info.name}: {len(missing)} weights are missing from its files, e.g. {missing[0]}; "
            "the directory is damaged or of another architecture"
        )
    if info.family.own_adapter is not None and getattr(model.config, "has_lora_adapter", True):
        merge_own_adapter(info.name, info.family, model, directory)
    return model
