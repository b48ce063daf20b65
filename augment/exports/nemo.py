"""NeMo: a manifest of JSON lines with `audio_filepath`, `offset` and `duration`, for its speech LLMs and for Canary.

Speech LLMs read `context` and `answer`; Canary reads `text`, `source_lang`, `target_lang`, `taskname` and `pnc`
(punctuation and capitals, which translations have). All are there. Relative paths count from the manifest's directory.

Format: https://docs.nvidia.com/nemo-framework/user-guide/latest/nemotoolkit/multimodal/speech_llm/datasets.html
("Input Manifest Format") and https://huggingface.co/nvidia/canary-1b ("Input Format").
"""

from __future__ import annotations

from typing import Any

from augment.exports.base import ExportFormat, Line


def line(row: Line) -> dict[str, Any]:
    """One utterance; seconds count from the beginning of its own file, which holds the kept audio alone."""
    return {
        "id": row.id,
        "audio_filepath": row.audio,
        "offset": 0.0,
        "duration": row.duration_s,
        "context": row.instruction,
        "answer": row.target,
        "text": row.target,
        "taskname": "ast",
        "pnc": "yes",
        "source_lang": row.src_lang,
        "target_lang": row.tgt_lang,
    }


NEMO = ExportFormat(
    name="nemo",
    manifest="manifest.jsonl",
    line=line,
    usage="python TRAIN_SCRIPT.py model.train_ds.manifest_filepath=DIR/manifest.jsonl",
)
