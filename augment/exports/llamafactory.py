"""LLaMA-Factory: JSON lines of `messages` and `audios`, described by dataset_info.json in the same directory.

It replaces `<audio>` by the model's audio tokens and adds nothing, while Qwen2-Audio was trained with `Audio 1: `
before and a line break after them: so both stand in the text. Other models want neither: `audio_label=""`. Relative
paths count from `media_dir`, which is `dataset_dir` unless set.

Format: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md ("Sharegpt Format", "OpenAI Format") and
data/mllm_audio_demo.json beside it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from augment.exports.base import AUDIO_TAG, ExportFormat, Line

QWEN2_AUDIO_LABEL = "Audio 1: "


def line(row: Line, audio_label: str = QWEN2_AUDIO_LABEL) -> dict[str, Any]:
    """One conversation; LLaMA-Factory drops keys that dataset_info.json does not name, such as `id`."""
    audio = f"{audio_label}{AUDIO_TAG}\n" if audio_label else AUDIO_TAG
    return {
        "id": row.id,
        "messages": [
            {"role": "user", "content": f"{audio}{row.instruction}"},
            {"role": "assistant", "content": row.target},
        ],
        "audios": [row.audio],
    }


def dataset_info(name: str) -> dict[str, Any]:
    """dataset_info.json: where the lines are and what their keys mean."""
    described = {
        "file_name": "train.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "audios": "audios"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
    return {"dataset_info.json": {name: described}}


def llamafactory(audio_label: str) -> ExportFormat:
    """The format with this text before each audio; an empty one leaves the bare tag."""
    return ExportFormat(
        name="llamafactory",
        manifest="train.jsonl",
        line=partial(line, audio_label=audio_label),
        usage="llamafactory-cli train CONFIG dataset_dir=DIR dataset=NAME template=TEMPLATE",
        beside=dataset_info,
    )


LLAMAFACTORY = llamafactory(QWEN2_AUDIO_LABEL)
