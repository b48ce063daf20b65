"""`simulsa stream`: one file through the model while it plays."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from augment.audio import pcm_digest, read_segment
from augment.schema import AudioRef
from evaluate.live import stream_live
from flows.config import ConfigError, RunConfig
from flows.demo_inputs import resolve_model
from lalm.encodings import AudioEncodings
from lalm.loading import load_model
from lalm.prompts import build_prompt
from lalm.transformers_engine import TransformersEngine


def stream_audio(
    config: RunConfig, audio: Path, *, chunk_ms: int, adapter: Path | None, wait: bool, show: bool
) -> dict[str, Any]:
    """Print new words as the audio reaches them; returns the text and every write with its delay.

    Raises AudioError for a file that cannot be heard, ModelError for a model or adapter that cannot be loaded.
    """
    if chunk_ms < 20:
        raise ConfigError(f"--chunk-ms is {chunk_ms}: a step needs at least 20 ms of audio, e.g. 640")
    waveform = read_segment(audio, AudioRef(path=audio.name))
    model = resolve_model(config).model
    loaded = load_model(model)
    engine = TransformersEngine(loaded, batch_size=1, encodings=AudioEncodings(max_bytes=64 << 20))
    prompt = build_prompt(loaded, model, config.corpus.src_lang, config.corpus.tgt_lang)
    steps = stream_live(
        waveform, sha=pcm_digest(waveform), engine=engine, prompt=prompt, tokenizer=loaded.tokenizer,
        chunk_ms=chunk_ms, config=config.evaluate, adapter=adapter, tgt_lang=config.corpus.tgt_lang,
    )  # fmt: skip
    writes, started_s = [], time.monotonic()
    for audio_ms, text in steps:
        if wait:
            time.sleep(max(0.0, audio_ms / 1000 - (time.monotonic() - started_s)))
        if text:
            writes.append({"audio_ms": audio_ms, "text": text})
        if show:
            print(f"{audio_ms / 1000:6.2f} s  {text.strip() or '·'}", flush=True)
    return {"text": "".join(str(write["text"]) for write in writes), "chunk_ms": chunk_ms, "writes": writes}
