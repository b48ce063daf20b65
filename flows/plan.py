"""`--dry-run`: what a run would do and cost, from metadata and a few audio headers; nothing is written.

The GPU estimate is arithmetic, not a measurement: 2 FLOPs per parameter and position forward, 6 for training, at 40 %
of one H100's dense bf16 peak (989 TFLOP/s). Its assumptions are part of the answer.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean
from typing import Any

from augment.audio import AudioError
from augment.corpora import Corpus, CorpusError, open_corpus
from augment.schema import Rejection, Utterance
from augment.truncate import is_selected
from flows.config import DemoConfig, RunConfig
from flows.demo_inputs import resolve_model
from flows.places import store_location
from lalm.loading import ModelInfo, inspect_model

HEADERS_READ = 200
POSITIONS_PER_AUDIO_S = 25
TOKENS_PER_WORD = 1.6
FLAC_BYTES_PER_S = 18_000
DEMO_SECONDS = 5.0
EFFECTIVE_FLOPS = 0.4 * 989e12


def plan_run(config: RunConfig) -> dict[str, Any]:
    """Utterances, audio hours, tokens, disk and an estimate of GPU hours. Raises as a run would on a wrong input."""
    resolved = resolve_model(config)
    info = inspect_model(resolved.model)
    lines, selected, mean_s, words = _survey(resolved)
    draws = selected * resolved.truncate.draws_per_utterance
    target_tokens = round(words * TOKENS_PER_WORD)
    positions = round(mean_s * POSITIONS_PER_AUDIO_S) + target_tokens + 30
    train = resolved.finetune.steps * resolved.finetune.batch_size * 2
    prefills = draws * (1 if resolved.partial.draft == "reference" else 2) + draws * target_tokens / 16
    parameters = _parameters(info)
    flops = parameters * positions * (2 * prefills + 6 * train)
    return {
        "dry_run": True, "name": resolved.name, "utterances": lines, "selected": draws,
        "audio_hours": round(lines * mean_s / 3600, 2), "selected_audio_hours": round(draws * mean_s / 3600, 2),
        "draft_tokens": draws * target_tokens, "training_examples": train,
        "disk_gb": round(draws * mean_s * FLAC_BYTES_PER_S * 2 / 1e9, 3),
        "gpu_hours": round(flops / EFFECTIVE_FLOPS / 3600, 3), "model_parameters": parameters,
        "assumptions": f"{EFFECTIVE_FLOPS:.0e} effective FLOP/s, {mean_s:.1f} s and {words:.0f} words an utterance, "
        "evaluation not counted", "store": store_location(resolved.outputs), "results": str(resolved.run_dir),
    }  # fmt: skip


def print_plan(plan: dict[str, Any]) -> None:
    """One line per fact."""
    for name, value in plan.items():
        print(f"{name:>22}: {value}")
    print("nothing was done; run the same command without --dry-run")


def _survey(config: RunConfig) -> tuple[int, int, float, float]:
    """Lines, selected utterances, mean seconds and mean target words; the demo corpus may not exist yet."""
    try:
        corpus = open_corpus(config.corpus, config.corpus.train_split)
    except CorpusError:
        if config.demo is None:
            raise
        return _demo_survey(config.demo, config.truncate.selected_share)
    lines, selected = 0, 0
    words: list[int] = []
    probes: list[float | None] = []
    for entry in corpus:
        lines += 1
        if isinstance(entry, Rejection):
            continue
        selected += is_selected(config.seed, entry.corpus, entry.id, config.truncate.selected_share)
        if len(probes) < HEADERS_READ:
            probes.append(_duration_s(corpus, entry))
            words.append(len(entry.tgt_text.split()))
    known = [seconds for seconds in probes if seconds is not None]
    return lines, selected, fmean(known) if known else 0.0, fmean(words) if words else 0.0


def _demo_survey(demo: DemoConfig, share: float) -> tuple[int, int, float, float]:
    return demo.num_train, round(demo.num_train * share), DEMO_SECONDS, 9.0


def _duration_s(corpus: Corpus, utterance: Utterance) -> float | None:
    """From the metadata or the audio's header; None where it cannot be opened (a run rejects it by name)."""
    if utterance.audio.duration_s is not None:
        return utterance.audio.duration_s
    try:
        return corpus.audio_seconds(utterance)
    except AudioError:
        return None


def _parameters(info: ModelInfo) -> int:
    """Parameters by the safetensors headers; 7e9 is assumed for a Hub model that is not downloaded yet."""
    if info.directory is None:
        return 7_000_000_000
    return sum(_tensor_elements(path) for path in sorted(info.directory.glob("*.safetensors")))


def _tensor_elements(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
    return sum(math.prod(shape) for shape in shapes)
