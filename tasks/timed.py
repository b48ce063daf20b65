"""The timed evaluation: one stream alone, and every step with the compute it really took on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluate.config import EvaluateConfig, TimedConfig
from evaluate.live import simulate_timed
from evaluate.session import SpokenUtterance
from lalm.loading import load_processor
from lalm.prompts import Prompt
from tasks.evaluate import SpokenSet, keep_traces, stream_inputs
from tasks.hardware import describe_hardware
from tasks.stage import stage_task
from tasks.store import Manifest, fingerprint
from tasks.workspace import Workspace

STREAM_TIMED_VERSION = 1


@stage_task("stream_timed")
def stream_timed(
    ws: Workspace, spoken: SpokenSet, adapter: Path | None, chunk_ms: int, config: EvaluateConfig,
    timed: TimedConfig, prompt: Prompt, tgt_lang: str,
) -> Manifest:  # fmt: skip
    """Translate the first utterances one by one, as if each were heard now, on an engine that knows none of them.

    A measurement is of a machine: the key holds it beside all that decides the texts.
    """
    hardware = describe_hardware(ws.accelerator.engine_config, ws.model)
    inputs = stream_inputs(ws, spoken, adapter, chunk_ms, config, prompt, tgt_lang) | {
        "timed": timed.model_dump(mode="json", exclude={"systems", "chunk_ms"}),
        "ids": fingerprint([u.id for u in timed_part(spoken.utterances, timed)]),
        "hardware": hardware, "engine_settings": ws.accelerator.speed_settings,
    }  # fmt: skip

    def write(out: Path) -> Mapping[str, Any]:
        advance, measured = ws.progress(), spoken.spoken[: timed.utterances]
        warm_up = warm_up_part(spoken.spoken, timed)
        with ws.model_lock:
            engine = ws.accelerator.fresh_engine(
                ws.info, load_processor(ws.info, ws.model), lambda _: advance(0, len(measured))
            )
            traces = simulate_timed(
                measured, engine=engine, prompt=prompt, tokenizer=ws.tokenizer, chunk_ms=chunk_ms, config=config,
                adapter=adapter, tgt_lang=tgt_lang, warm_up=warm_up, coalesce=timed.coalesce, progress=advance,
            )  # fmt: skip
        return {**keep_traces(out, traces, spoken), "hardware": hardware, "warm_up": len(warm_up)}

    return ws.store.ensure("stream_timed", STREAM_TIMED_VERSION, inputs, write)


def timed_part(utterances: Sequence[Any], timed: TimedConfig) -> Sequence[Any]:
    """The utterances that a timed evaluation hears: those it measures and those that it warms up with."""
    return utterances[: timed.utterances + timed.warm_up]


def warm_up_part(spoken: Sequence[SpokenUtterance], timed: TimedConfig) -> Sequence[SpokenUtterance]:
    """Utterances behind the measured ones, so that no cache knows these; fewer where the split ends."""
    return spoken[timed.utterances : timed.utterances + timed.warm_up]
