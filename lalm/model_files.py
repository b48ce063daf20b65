"""A model is its files: which of them decide its results, and one digest over exactly those.

Works on a local directory only; `lalm.hub` brings Hub models there.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from lalm.errors import ModelError

WEIGHT_PATTERNS = ("*.safetensors", "*.safetensors.index.json")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "tekken.json")
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
DECIDING_PATTERNS = (
    "config.json",
    *WEIGHT_PATTERNS,
    *TOKENIZER_FILES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    *PROCESSOR_FILES,
    "chat_template.json",
    "chat_template.jinja",
    "adapter_config.json",
    "speech-lora/adapter_config.json",
    "speech-lora/adapter_model.safetensors",
)
PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def check_file_names(name: str, names: set[str]) -> None:
    """Raise ModelError naming the first missing part: config, safetensors weights, tokenizer, processor."""
    if "config.json" not in names:
        raise ModelError(f"model {name}: no config.json among its files; it must be saved by save_pretrained")
    if not any(file.endswith(".safetensors") for file in names):
        raise ModelError(_no_weights(name, names))
    if not names & set(TOKENIZER_FILES):
        raise ModelError(
            f"model {name}: no tokenizer ({' or '.join(TOKENIZER_FILES)}); save it beside the model"
        )
    if not names & set(PROCESSOR_FILES):
        raise ModelError(
            f"model {name}: no processor ({' or '.join(PROCESSOR_FILES)}); save it beside the model"
        )


def check_directory(name: str, directory: Path) -> None:
    """Raise ModelError unless `directory` exists and holds a model in safetensors."""
    if not directory.is_dir():
        raise ModelError(
            f"model {name}: no such directory (looked in {directory.absolute()}), and it is not a Hub id of the "
            "form owner/name; correct model.path"
        )
    check_file_names(name, {path.name for path in directory.iterdir()})


def read_json(name: str, path: Path) -> dict[str, object]:
    """The JSON object in `path`; ModelError names the file when it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            f"model {name}: {path.name} is not valid JSON ({error}); download it again"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"model {name}: {path.name} holds {type(value).__name__}, not an object")
    return value


def directory_digest(directory: Path, patterns: tuple[str, ...] = DECIDING_PATTERNS) -> str:
    """sha256 over the sorted (name, sha256) of the files that decide results; READMEs and logs never count."""
    paths = sorted({path for pattern in patterns for path in directory.glob(pattern) if path.is_file()})
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path.relative_to(directory)}\0{file_sha256(path)}\n".encode())
    return whole.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, hashed once per process while its size and time stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: Path, _num_bytes: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _no_weights(name: str, names: set[str]) -> str:
    pickled = sorted(file for file in names if file.endswith(PICKLED_SUFFIXES))
    if pickled:
        return (
            f"model {name}: only pickled weights ({pickled[0]}); a pickle can run any code, so only safetensors are "
            "loaded: convert it with save_pretrained in a place you trust"
        )
    return f"model {name}: no *.safetensors weights among its files; was the download cut short?"
