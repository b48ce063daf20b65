"""One RunConfig: the type of the YAML file, of the command line's --set and of the Prefect parameters.

Each section is declared beside the code that owns it; this module only composes them, reads YAML and explains what
is wrong with it. Relative paths are relative to the working directory of the run.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from augment.assemble import DatasetConfig
from augment.corpora import CorpusConfig
from augment.hub.config import HubDatasetConfig, PublishConfig
from augment.partial import PartialConfig
from augment.truncate import TruncateConfig
from evaluate.config import EvaluateConfig
from flows.places import results_dir
from lalm.engine_config import EngineConfig
from lalm.errors import SimulsaError
from lalm.loading import ModelConfig
from tasks.runner import RunnerKind
from tasks.store import StoreError, check_location
from train.config import FinetuneConfig

PROFILES = Path(__file__).resolve().parent.parent / "deployments" / "runs"


ATTENTION_POLICIES = ("alignatt", "edatt")


class ConfigError(SimulsaError):
    """A configuration that cannot be read: every problem is named with its key, value and remedy."""


class DemoConfig(BaseModel):
    """The embedded toy corpus: synthesised before the run, and read like any other corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_train: int = Field(default=20_000, ge=50, description="Utterances in the train split.")
    num_dev: int = Field(default=300, ge=4, description="Utterances in the dev split.")
    num_test: int = Field(default=400, ge=4, description="Utterances in the test split.")
    seed: int = Field(default=7, description="Seed of the sentences, voices and noise.")


class RunConfig(BaseModel):
    """Everything a run depends on; `simulsa init` writes one with comments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name of the run; results go to outputs/<name>.", pattern=r"^\w[\w.-]*$")
    seed: int = Field(
        default=7, description="Seed of every random choice: selection, cuts, LoRA, data order."
    )
    outputs: str = Field(
        default="outputs",
        description="Directory of run directories and of the stage store; or s3://bucket/prefix for the store, and run "
        "directories below ./outputs.",
    )
    task_runner: RunnerKind = Field(
        default="threads",
        description="Where the parts of stages run: threads here, or worker processes of a ray or dask cluster.",
    )
    cluster_address: str | None = Field(
        default=None,
        description="Of a running cluster, e.g. ray://head:10001 or tcp://head:8786; null: `workers` processes here.",
    )
    gpus_per_task: float = Field(
        default=0, ge=0, description="GPUs that Ray reserves for each part that runs the model."
    )
    workers: int = Field(default=2, ge=1, description="CPU threads for shards; never changes a result.")
    model: ModelConfig = Field(description="The LALM to augment with, to fine-tune and to evaluate.")
    corpus: CorpusConfig = Field(description="The offline speech-translation corpus.")
    truncate: TruncateConfig = Field(
        default_factory=TruncateConfig, description="Which audio is cut, and where."
    )
    partial: PartialConfig = Field(
        default_factory=PartialConfig, description="How partial targets are found."
    )
    dataset: DatasetConfig = Field(default_factory=DatasetConfig, description="Shards, quality and licence.")
    engine: EngineConfig = Field(default_factory=EngineConfig, description="What runs the model.")
    finetune: FinetuneConfig = Field(default_factory=FinetuneConfig, description="LoRA fine-tuning.")
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig, description="Streaming evaluation.")
    published: HubDatasetConfig | None = Field(
        default=None, description="Fine-tune on this published dataset instead of building one."
    )
    publish: PublishConfig | None = Field(
        default=None, description="Publish the dataset to the Hub after a run; null: do not."
    )
    demo: DemoConfig | None = Field(
        default=None, description="Synthesise the toy corpus first; only for demos."
    )

    @field_validator("name")
    @classmethod
    def _is_not_the_store(cls, value: str) -> str:
        if value == "store":
            raise ValueError("outputs/store is the stage store: name the run otherwise")
        return value

    @field_validator("outputs")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        try:
            check_location(value)
        except StoreError as error:
            raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _evaluation_is_held_out(self) -> Self:
        for key, split in (
            ("evaluate.split", self.evaluate.split),
            ("corpus.test_split", self.corpus.test_split),
        ):
            if split == self.corpus.train_split:
                raise ValueError(
                    f"{key} is {split!r}, the split that is trained on: set it to a held-out split"
                )
        return self

    @model_validator(mode="after")
    def _attention_can_be_seen(self) -> Self:
        needs = [policy.kind for policy in self.evaluate.policies if policy.kind in ATTENTION_POLICIES]
        if needs and self.engine.kind != "transformers":
            raise ValueError(
                f"evaluate.policies: {' and '.join(needs)} read the model's attention, which only engine.kind "
                f"transformers shows, got {self.engine.kind!r}"
            )
        return self

    @model_validator(mode="after")
    def _what_is_timed_is_ours(self) -> Self:
        if self.evaluate.timed and self.engine.urls:
            raise ValueError(
                "evaluate.timed needs an engine of its own, and engine.urls names servers that others use too: "
                "leave one of the two out"
            )
        return self

    @property
    def run_dir(self) -> Path:
        """Where this run leaves summary.json, the report, the dataset and the adapters."""
        return results_dir(self.outputs) / self.name


def load_config(source: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a profile name (`demo`, `tiny`) or a YAML file, apply `key.path=value` overrides, validate.

    Raises ConfigError listing every problem; nothing has been done by then.
    """
    path = _locate(source)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}. Compare it with `simulsa init`.") from error
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path} must hold a mapping of sections, got {type(raw).__name__}. See `simulsa init`."
        )
    for override in overrides:
        _override(raw, override)
    return parse_config(raw, where=str(path))


def parse_config(raw: Mapping[str, Any], *, where: str = "the configuration") -> RunConfig:
    """Validate a mapping as a RunConfig; ConfigError names each key, its value, the rule and the nearest key."""
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        problems = "\n".join(f"  - {_explain(detail)}" for detail in error.errors())
        raise ConfigError(f"{where} has {error.error_count()} problem(s):\n{problems}") from None


def dump_config(config: RunConfig) -> str:
    """The configuration as YAML, every default spelled out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _locate(source: str) -> Path:
    profile = PROFILES / f"{source}.yaml"
    if profile.is_file():
        return profile
    path = Path(source)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml")))
        raise ConfigError(
            f"no configuration {source!r}: it is neither a file nor a profile ({known}). "
            "Write one with `simulsa init my.yaml`."
        )
    return path


def _override(raw: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set takes key.path=value, got {override!r}; e.g. --set finetune.steps=100")
    *parents, leaf = key.strip().split(".")
    section = raw
    for parent in parents:
        child = section.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override}: {parent!r} is a value, not a section")
        section = child
    try:
        section[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML ({error})") from error


def _explain(detail: Mapping[str, Any]) -> str:
    location = ".".join(str(part) for part in detail["loc"])
    if detail["type"] != "extra_forbidden":
        return f"{location}: {detail['msg']} (got {detail['input']!r})"
    valid = _valid_keys(detail["loc"][:-1])
    near = difflib.get_close_matches(str(detail["loc"][-1]), valid, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{location}: unknown key{hint} Valid keys here: {', '.join(valid)}"


def _valid_keys(location: tuple[Any, ...]) -> list[str]:
    model: Any = RunConfig
    for part in location:
        annotation = model.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return list(model.model_fields)
