"""transformers and TRL: conversations of typed parts, in a directory that `datasets` reads with its audio.

TRL's guide documents typed parts and a media column for images; the same holds for audio with the part
`{"type": "audio"}`, which transformers' chat templates place. The directory is an AudioFolder: its metadata.jsonl
names each file in `file_name`, and `datasets` loads it as the column `audio`.

Formats: https://huggingface.co/docs/trl/dataset_formats ("Vision datasets"),
https://huggingface.co/docs/transformers/chat_content_patterns ("Audio") and
https://huggingface.co/docs/datasets/audio_load ("AudioFolder with metadata").
"""

from __future__ import annotations

from typing import Any

from augment.exports.base import ExportFormat, Line


def line(row: Line) -> dict[str, Any]:
    """One conversation; every content is a list, so that all rows have one schema."""
    return {
        "file_name": row.audio,
        "id": row.id,
        "messages": [
            {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": row.instruction}]},
            {"role": "assistant", "content": [{"type": "text", "text": row.target}]},
        ],
    }


TRL = ExportFormat(
    name="trl",
    manifest="metadata.jsonl",
    line=line,
    usage='datasets.load_dataset("audiofolder", data_dir="DIR", split="train")',
)
