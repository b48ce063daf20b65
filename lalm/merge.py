"""An adapter merged into its base: one ordinary model directory, for those who want weights instead of an adapter.

What is written is checked before it gets its name: merged in fp32 it must score as the base wearing the adapter does,
and what lies on disk must score as what was in memory.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open

from lalm.adapters import adapter_digest
from lalm.engine import AudioClip, Failure, GenerateRequest, Score, ScoreRequest
from lalm.errors import ModelError
from lalm.loading import LoadedModel, ModelConfig, ModelInfo, inspect_model, load_model, local_directory
from lalm.model_files import DECIDING_PATTERNS, WEIGHT_PATTERNS, read_json
from lalm.prompts import Prompt, build_prompt
from lalm.transformers_engine import TransformersEngine
from lalm.vllm.canary import chirp_waveform

MARKER = "merged.json"
TOLERANCE_NATS = 1e-4
NUM_TOKENS = 8
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What was merged, by content, and where it is; `max_difference_nats` is None where nothing was computed."""

    status: Literal["merged", "unchanged", "dry_run"]
    target: Path
    base: str
    base_digest: str
    adapter: Path
    adapter_digest: str
    dtype: str
    num_bytes: int
    max_difference_nats: float | None = None


def merge_adapter(config: ModelConfig, adapter: Path, target: Path, *, dry_run: bool = False) -> MergeResult:
    """Write base + adapter as one model in `config.dtype`; `target` appears whole or not at all.

    Raises ModelError for a target that holds anything but an earlier merge, an adapter of another base, and a merge
    whose scores differ. The same merge again changes nothing.
    """
    info = inspect_model(config)
    _refuse_family(info)
    digest = adapter_digest(adapter)
    _refuse_target(target, local_directory(info), adapter)
    planned = MergeResult(
        status="dry_run",
        target=target,
        base=info.name,
        base_digest=info.digest,
        adapter=adapter,
        adapter_digest=digest,
        dtype=config.dtype,
        num_bytes=_num_parameters(local_directory(info)) * DTYPE_BYTES[config.dtype],
    )
    if _holds(target, planned):
        return replace(planned, status="unchanged")
    if dry_run:
        return planned
    with _draft(target, planned.num_bytes) as draft:
        difference = _write(config, adapter, draft)
        result = replace(planned, status="merged", max_difference_nats=difference)
        (draft / MARKER).write_text(
            json.dumps(asdict(result), indent=2, default=str) + "\n", encoding="utf-8"
        )
    return result


def _write(config: ModelConfig, adapter: Path, draft: Path) -> float:
    """The merged model below `draft`, checked; returns how far its fp32 scores are from those of the worn adapter."""
    loaded = load_model(config.model_copy(update={"dtype": "float32"}))
    prompt = build_prompt(loaded, config, "en", "de")
    said = _said(loaded, prompt, adapter)
    worn = _score(loaded, prompt, said, adapter)
    loaded.adapters.wear(None)
    merged = _merged(loaded, adapter)
    difference = _difference(worn, _score(merged, prompt, said))
    _require(difference, f"adapter {adapter}: merging it changes what it says")
    _save(merged, getattr(torch, config.dtype), draft)
    in_memory = _score(merged, prompt, said)
    del loaded, merged
    written = load_model(config.model_copy(update={"path": str(draft), "dtype": "float32"}))
    _require(
        _difference(in_memory, _score(written, prompt, said)),
        f"adapter {adapter}: the merged model was not written as it is",
    )
    return difference


def _said(loaded: LoadedModel, prompt: Prompt, adapter: Path) -> tuple[int, ...]:
    """What the adapter makes the model say to the canary audio."""
    request = GenerateRequest(
        request_id="canary", prompt_ids=prompt.ids, audio=_canary(), max_new_tokens=NUM_TOKENS
    )
    ((_, said),) = TransformersEngine(loaded).generate([request], adapter=adapter)
    if isinstance(said, Failure):
        raise ModelError(f"adapter {adapter}: the model says nothing while it wears it ({said.detail})")
    return said.token_ids or prompt.stop_ids[:1]


def _score(
    loaded: LoadedModel, prompt: Prompt, continuation: tuple[int, ...], adapter: Path | None = None
) -> Score:
    request = ScoreRequest(
        request_id="canary", prompt_ids=prompt.ids, audio=_canary(), continuation_ids=continuation
    )
    ((_, score),) = TransformersEngine(loaded).score([request], adapter=adapter)
    if isinstance(score, Failure):
        raise ModelError(f"model {loaded.info.name}: no score for the canary audio ({score.detail})")
    return score


def _canary() -> AudioClip:
    return AudioClip(key="chirp", waveform=chirp_waveform())


def _merged(loaded: LoadedModel, adapter: Path) -> LoadedModel:
    from peft import PeftModel

    model: Any = PeftModel.from_pretrained(loaded.model, adapter).merge_and_unload(safe_merge=True)
    return replace(loaded, model=model)


def _difference(one: Score, other: Score) -> float:
    pairs = zip(one.logprobs + one.rival_logprobs, other.logprobs + other.rival_logprobs, strict=True)
    return max(abs(a - b) for a, b in pairs)


def _require(difference: float, what: str) -> None:
    if not difference <= TOLERANCE_NATS:
        raise ModelError(
            f"{what}: the canary's scores differ by {difference:.2g} nats (at most {TOLERANCE_NATS} is rounding); use "
            "the adapter unmerged, every engine does"
        )


def _refuse_family(info: ModelInfo) -> None:
    if info.family.own_adapter is not None:
        raise ModelError(
            f"model {info.name}: {info.family.name} is released with an adapter of its own, so another cannot be "
            "merged into its files: use it unmerged, every engine does"
        )


def _refuse_target(target: Path, base: Path, adapter: Path) -> None:
    if target.resolve() in (base.resolve(), adapter.resolve()):
        raise ModelError(f"merge to {target}: that is what is merged; give another directory")
    if target.exists() and not (target / MARKER).is_file() and (target.is_file() or any(target.iterdir())):
        raise ModelError(f"merge to {target}: it holds something that no merge wrote; give another directory")


def _holds(target: Path, planned: MergeResult) -> bool:
    """Whether an earlier merge of the very same lies there."""
    if not (target / MARKER).is_file():
        return False
    earlier = read_json(str(target), target / MARKER)
    return all(
        earlier.get(key) == getattr(planned, key) for key in ("base_digest", "adapter_digest", "dtype")
    )


def _num_parameters(directory: Path) -> int:
    total = 0
    for path in directory.glob("*.safetensors"):
        with safe_open(path, framework="pt") as weights:
            names = list(weights.keys())
            total += sum(torch.Size(weights.get_slice(name).get_shape()).numel() for name in names)
    return total


def _save(merged: LoadedModel, dtype: torch.dtype, draft: Path) -> None:
    """Write the weights in `dtype`, with the base's processor; in memory they stay fp32, but as rounded."""
    for parameter in merged.model.parameters():
        parameter.data = parameter.data.to(dtype)
    merged.model.save_pretrained(draft)
    for parameter in merged.model.parameters():
        parameter.data = parameter.data.float()
    _copy_processor(local_directory(merged.info), draft)


def _copy_processor(base: Path, draft: Path) -> None:
    """Tokenizer and processor as they are, byte for byte."""
    patterns = set(DECIDING_PATTERNS) - set(WEIGHT_PATTERNS) - {"config.json"}
    for path in {path for pattern in patterns for path in base.glob(pattern)}:
        shutil.copyfile(path, draft / path.name)


@contextmanager
def _draft(target: Path, num_bytes: int) -> Iterator[Path]:
    """A directory beside `target` that becomes it when the block ends well."""
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.draft")
    draft.mkdir(parents=True)
    try:
        free = shutil.disk_usage(draft).free
        if free < num_bytes:
            raise ModelError(
                f"merge to {target}: {num_bytes} bytes are needed, {free} are free; give another disk"
            )
        yield draft
        if target.exists():
            target.rename(draft.with_suffix(".old"))
        draft.rename(target)
    finally:
        for left in (draft, draft.with_suffix(".old")):
            shutil.rmtree(left, ignore_errors=True)
