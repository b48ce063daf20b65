"""ms-swift: JSON lines of `messages` and `audios`; `<audio>` in a message stands where the audio goes.

ms-swift renders the tag as the model's own template wants it (for Qwen2-Audio `Audio 1: ` and its tokens). It takes
relative paths from the working directory, so it is started in the export's directory.

Format: https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html, "Multimodal".
"""

from __future__ import annotations

from typing import Any

from augment.exports.base import AUDIO_TAG, ExportFormat, Line


def line(row: Line) -> dict[str, Any]:
    """One conversation; ms-swift drops keys that it does not know, such as `id`."""
    return {
        "id": row.id,
        "messages": [
            {"role": "user", "content": f"{AUDIO_TAG}{row.instruction}"},
            {"role": "assistant", "content": row.target},
        ],
        "audios": [row.audio],
    }


MS_SWIFT = ExportFormat(
    name="ms-swift",
    manifest="train.jsonl",
    line=line,
    usage="cd DIR && swift sft --model MODEL --dataset train.jsonl",
)
