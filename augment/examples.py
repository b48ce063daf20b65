"""A SimulExample is one row of the dataset: kept audio, prompt, partial target, provenance, quality flags."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from augment.records import arrow_schema
from augment.schema import SAMPLE_RATE_HZ, QualityFlags

FlacBytes = bytes
"""A name of its own, for the column that must be called `bytes` hides the type inside its class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedAudio:
    """The kept audio as FLAC bytes, under the column layout that `datasets` plays: `path` is `{id}.flac`."""

    bytes: FlacBytes
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of the conversation that trains the model; `<audio>` stands where the audio goes."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAudio:
    """Where the kept audio comes from, and the sha256 of its int16 PCM: enough to rebuild and verify it.

    Samples count at 16 kHz from the beginning of the utterance `id` of `corpus`.
    """

    corpus: str
    id: str
    start_sample: int
    num_samples: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulExample:
    """One row. `audio` is None in a published copy whose licence forbids re-hosting the audio.

    `partial_text` is what the kept audio supports and may be empty; `tgt_text` is the whole reference.
    `model` is a name, never a path; `model_revision` its revision or digest.
    """

    id: str
    audio: EmbeddedAudio | None
    messages: tuple[Message, ...]
    src_lang: str
    tgt_lang: str
    src_text: str | None
    tgt_text: str
    partial_text: str
    method: str
    draft: str
    rule: str
    threshold: float | None
    accepted_tokens: int
    draft_tokens: int
    mean_logprob: float | None
    near_tie: bool
    kept_ratio: float
    duration_s: float
    full_duration_s: float
    alpha: float
    beta: float
    seed: int
    model: str
    model_revision: str
    prompt_hash: str
    config_hash: str
    license: str
    audio_ref: SourceAudio
    qc: QualityFlags


def example_schema() -> pa.Schema:
    """The Arrow schema of a row, with the `huggingface` metadata that makes the audio column playable."""
    features = {"info": {"features": example_features()}}
    return arrow_schema(SimulExample).with_metadata({"huggingface": json.dumps(features)})


def example_features() -> dict[str, Any]:
    """Every column as `datasets` names it; the Hub's viewer needs them all, not only the audio."""
    return {field.name: _feature(field) for field in arrow_schema(SimulExample)}


def card_features() -> list[dict[str, Any]]:
    """The same columns in the shape that a dataset card's YAML wants."""
    return [_card_feature(field) for field in arrow_schema(SimulExample)]


def _feature(field: pa.Field) -> Any:
    if field.name == "audio":
        return {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"}
    if pa.types.is_list(field.type):
        return {"feature": _feature(field.type.value_field), "_type": "List"}
    if pa.types.is_struct(field.type):
        return {child.name: _feature(child) for child in field.type}
    return {"dtype": _dtype(field.type), "_type": "Value"}


def _card_feature(field: pa.Field) -> dict[str, Any]:
    if field.name == "audio":
        return {"name": field.name, "dtype": {"audio": {"sampling_rate": SAMPLE_RATE_HZ}}}
    if pa.types.is_list(field.type):
        return {"name": field.name, "list": _card_element(field.type.value_type)}
    if pa.types.is_struct(field.type):
        return {"name": field.name, "struct": [_card_feature(child) for child in field.type]}
    return {"name": field.name, "dtype": _dtype(field.type)}


def _card_element(element: pa.DataType) -> Any:
    return [_card_feature(child) for child in element] if pa.types.is_struct(element) else _dtype(element)


def _dtype(arrow_type: pa.DataType) -> str:
    return {"double": "float64"}.get(str(arrow_type), str(arrow_type))
