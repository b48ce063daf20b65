"""A tekken.json of single bytes: Mistral's tokenizer format with the special tokens that Voxtral's prompts need."""

from __future__ import annotations

import base64
import json
from pathlib import Path

SPECIAL_TOKENS = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]", "[TRANSCRIBE]", "[REPEAT1]", "[REPEAT2]", "[ARGS]",
    "[AUDIO]", "[BEGIN_AUDIO]",
)  # fmt: skip
NUM_SPECIAL = 32
MEL = {"num_mel_bins": 16, "hop_length": 160, "window_size": 400}


def write_tekken(directory: Path) -> int:
    """Write tekken.json below `directory`; returns the size of the vocabulary."""
    vocabulary = [
        {"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode(), "token_str": None}
        for byte in range(256)
    ]
    content = {
        "config": {
            "pattern": r"\p{L}+|[^\p{L}]", "num_vocab_tokens": 256, "default_vocab_size": 256 + NUM_SPECIAL,
            "default_num_special_tokens": NUM_SPECIAL, "version": "v7",
        },
        "vocab": vocabulary,
        "special_tokens": [
            {"rank": rank, "token_str": token, "is_control": True} for rank, token in enumerate(SPECIAL_TOKENS)
        ],
        "audio": {"sampling_rate": 16_000, "frame_rate": 12.5, "chunk_length_s": 30.0, "audio_encoding_config": MEL},
    }  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tekken.json").write_text(json.dumps(content))
    return 256 + NUM_SPECIAL
