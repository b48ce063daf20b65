"""`simulsa init`: a configuration for Qwen2-Audio-7B, each key with the description its owner gives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from augment.atomic import write_bytes
from flows.config import ConfigError, RunConfig

HEADER = """\
# simulsa: offline speech translation in, simultaneous translation out.
#   simulsa run {name} --dry-run     what it would do and cost
#   simulsa run {name}               the whole pipeline; stop and repeat at will
# A key that stands behind '#' has the default shown. Nothing here is a secret: tokens come from HF_TOKEN.
"""

TEMPLATE: dict[str, Any] = {
    "name": "qwen2-audio-covost2",
    "model": {"path": "Qwen/Qwen2-Audio-7B-Instruct", "dtype": "bfloat16"},
    "corpus": {
        "name": "covost2-en-de", "layout": "covost2", "root": "data/covost2/en", "src_lang": "en", "tgt_lang": "de",
        "license": "cc-by-nc-4.0",
    },
    "finetune": {"steps": 2000, "batch_size": 32, "precision": "bf16"},
}  # fmt: skip


def write_template(path: Path) -> None:
    """Write the commented YAML; raises ConfigError when the file exists."""
    if path.exists():
        raise ConfigError(f"{path} exists and is kept; name another file, or move it away first")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no directory: make it first, or name a file elsewhere")
    write_bytes(path, template(path.name).encode())


def template(name: str = "simulsa.yaml") -> str:
    """The commented YAML: values that a user must look at are set, all others are comments with their default."""
    return HEADER.format(name=name) + "\n".join(_section(RunConfig, TEMPLATE, "")) + "\n"


def _section(model: type[BaseModel], values: dict[str, Any], indent: str) -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key == "demo":
            continue  # a user's run has a corpus of its own
        inner = _model_of(field.annotation)
        yield f"{indent}# {field.description}"
        if inner is None:
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            yield indent + _line(key, values.get(key, default), is_set=key in values)
        elif key in values or indent == "":
            yield f"{indent}{key}:"
            yield from _section(inner, values.get(key, {}), indent + "  ")
            if not values.get(key):
                yield f"{indent}  {{}}"
        else:
            yield f"{indent}# {key}: {{}}"


def _line(key: str, value: Any, *, is_set: bool) -> str:
    value_text = yaml.safe_dump(
        to_jsonable_python(value), default_flow_style=True, width=1000, allow_unicode=True
    )
    text = f"{key}: {value_text.removesuffix('...' + chr(10)).strip()}"
    return text if is_set else f"# {text}"


def _model_of(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
