"""Streaming evaluation: all utterances in one batch, one after the other, and under SimulEval; long recordings.

    python benchmarks/streaming.py throughput --utterances 200
    python benchmarks/streaming.py long --minutes 10

`throughput` states the floor first: the arithmetic that any way must do, at the speed of this machine's matrix
products. Then the same policy on the same engine and model, side by side, outputs compared. SimulEval needs an
environment of its own that also sees this one's packages; without it the comparison is left out and said to be:

    python -m venv simuleval-venv
    site='import sysconfig; print(sysconfig.get_path("purelib"))'
    python -c "$site" > "$(simuleval-venv/bin/python -c "$site")/base.pth"
    simuleval-venv/bin/pip install simuleval==1.1.4
    python benchmarks/streaming.py throughput --simuleval simuleval-venv/bin/python

`long` concatenates the toy corpus into one recording and compares it with the same speech cut at its true boundaries.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
import torch
from cyclopts import App

from augment.audio import pcm_digest
from demo.corpus import Spec, make_utterance
from evaluate.config import EvaluateConfig
from evaluate.latency import queue_clock
from evaluate.latency.timed import timed_output
from evaluate.long_form import LongFormConfig
from evaluate.policies import LocalAgreement, Policy, SimulSA
from evaluate.quality import report_quality
from evaluate.resegment import Segment, cut_recording
from evaluate.session import SpokenUtterance
from evaluate.stream import simulate
from evaluate.trace import StreamTrace
from flows.config import load_config
from flows.demo_inputs import resolve_model
from lalm.encodings import AudioEncodings, num_audio_positions
from lalm.loading import LoadedModel, load_model
from lalm.prompts import Prompt, build_prompt
from lalm.transformers_engine import TransformersEngine

app = App(help=__doc__)
SAMPLES_PER_MS = 16
SEED = 7
AGENT = Path(__file__).parent / "simuleval_agent" / "agent.py"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """The micro LALM and its prompt, and utterances of the toy corpus."""

    loaded: LoadedModel
    prompt: Prompt
    spoken: list[SpokenUtterance]

    def stream(
        self, utterances: Sequence[SpokenUtterance], policy: Policy, chunk_ms: int, *, batch_size: int = 16,
        cache_bytes: int = 0, long_form: LongFormConfig | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[StreamTrace]:  # fmt: skip
        """Stream with an engine that knows no audio yet."""
        engine = TransformersEngine(
            self.loaded, batch_size=batch_size, encodings=AudioEncodings(max_bytes=cache_bytes)
        )
        config = EvaluateConfig(chunk_ms=(chunk_ms,), base_chunk_ms=(), long_form=long_form)
        return simulate(
            utterances, engine=engine, prompt=self.prompt, tokenizer=self.loaded.tokenizer, chunk_ms=chunk_ms,
            config=config, adapter=None, tgt_lang="de", policy=policy, progress=progress,
        )  # fmt: skip


def make_bench(split: str, count: int, first: int = 0) -> Bench:
    run = resolve_model(load_config("demo"))
    loaded = load_model(run.model)
    return Bench(
        loaded=loaded,
        prompt=build_prompt(loaded, run.model, "en", "de"),
        spoken=[speak(split, index) for index in range(first, first + count)],
    )


def speak(split: str, index: int) -> SpokenUtterance:
    truth, speech = make_utterance(Spec(split=split, index=index, seed=SEED))
    waveform = (speech.pcm / 32768).astype(np.float32)
    return SpokenUtterance(
        id=truth.id, waveform=waveform, sha=pcm_digest(waveform), references=truth.references
    )


@app.command
def throughput(
    *,
    utterances: int = 200,
    chunk_ms: int = 640,
    simuleval: Path | None = None,
    work: Path = Path("outputs/bench-streaming"),
) -> None:
    """Batched streaming against one utterance at a time and against SimulEval, SimulSA's policy, same engine."""
    bench = make_bench("test", utterances)
    bench.stream(bench.spoken[:4], SimulSA(), chunk_ms)  # warm-up
    begun_s = time.perf_counter()
    batched = bench.stream(bench.spoken, SimulSA(), chunk_ms)
    batched_s = time.perf_counter() - begun_s
    begun_s = time.perf_counter()
    alone = [trace for u in bench.spoken for trace in bench.stream([u], SimulSA(), chunk_ms)]
    alone_s = time.perf_counter() - begun_s
    audio_s = sum(u.source_ms for u in bench.spoken) / 1000
    print_floor(bench, batched)
    same = sum(a.text == b.text for a, b in zip(batched, alone, strict=True))
    show("throughput mode, all utterances in one batch", batched_s, utterances, audio_s)
    show("the same, one utterance after the other", alone_s, utterances, audio_s)
    print(f"=> one at a time / throughput: {alone_s / batched_s:.2f} ({same} of {utterances} texts equal)")
    if simuleval is None or not simuleval.is_file():
        print(f"SimulEval: not installed ({simuleval or 'no --simuleval given'}); see --help")
        return
    seconds, texts = run_simuleval(simuleval, bench, chunk_ms, work)
    same = sum(" ".join(a.text.split()) == b for a, b in zip(batched, texts, strict=True))
    show("SimulEval 1.1.4 with an agent on the same engine", seconds, utterances, audio_s)
    print(
        f"=> SimulEval / throughput: {seconds / batched_s:.2f}, SimulEval / one at a time: {seconds / alone_s:.2f}"
    )
    print(
        f"   {same} of {utterances} texts equal; SimulEval writes a space where a later step continues a word"
    )


def show(name: str, seconds: float, utterances: int, audio_s: float) -> None:
    print(
        f"{name:<52}{seconds:8.2f} s {utterances / seconds:7.1f} utterances/s {audio_s / seconds:7.1f} audio s/s"
    )


def print_floor(bench: Bench, traces: Sequence[StreamTrace]) -> None:
    """The arithmetic of every step, and the seconds that it takes at the speed of matrix products."""
    decoder = bench.loaded.model.model.language_model
    encoder = bench.loaded.model.model.audio_tower
    encoder_weights, decoder_weights = (
        sum(p.numel() for name, p in module.named_parameters() if "embed" not in name)
        for module in (encoder, decoder)
    )
    decoder_weights += bench.loaded.model.lm_head.weight.numel()
    steps = frames = prefilled = decoded = 0
    for trace in traces:
        written = 0
        for step in trace.steps:
            positions = num_audio_positions(round(step.audio_ms * SAMPLES_PER_MS))
            steps += 1
            frames += 2 * positions  # the encoder runs before its pooling by two
            prefilled += len(bench.prompt.ids) + positions + written
            decoded += len(step.token_ids)
            written += len(step.token_ids)
    speed = matrix_speed()
    encoder_flop, decoder_flop = 2.0 * encoder_weights * frames, 2.0 * decoder_weights * (prefilled + decoded)
    print(
        f"floor: {steps} steps; encoder {frames} frames, {encoder_flop / 1e9:.0f} GFLOP; decoder {prefilled} tokens "
        f"prefilled and {decoded} written, {decoder_flop / 1e9:.0f} GFLOP (attention itself not counted); matrix "
        f"products {speed / 1e9:.0f} GFLOP/s with {torch.get_num_threads()} threads => at least "
        f"{(encoder_flop + decoder_flop) / speed:.2f} s"
    )


def matrix_speed(size: int = 1024, repeats: int = 20) -> float:
    """FLOP/s of a square fp32 matrix product, the best of some."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(repeats):
        begun_s = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - begun_s)
    return 2 * size**3 / min(seconds)


def run_simuleval(python: Path, bench: Bench, chunk_ms: int, work: Path) -> tuple[float, list[str]]:
    """Seconds from the loaded model to the last write, and the predictions."""
    work.mkdir(parents=True, exist_ok=True)
    paths = [work.resolve() / f"{u.id}.wav" for u in bench.spoken]
    for utterance, path in zip(bench.spoken, paths, strict=True):
        soundfile.write(path, utterance.waveform, 16_000, subtype="PCM_16")
    (work / "source.txt").write_text("".join(f"{path}\n" for path in paths))
    (work / "target.txt").write_text("".join(f"{u.references[0]}\n" for u in bench.spoken))
    command = [
        str(python), "-c", "from simuleval.cli import main; main()", "--agent", str(AGENT), "--source",
        str(work / "source.txt"), "--target", str(work / "target.txt"), "--source-segment-size", str(chunk_ms),
        "--output", str(work / "simuleval"), "--no-scoring", "--no-progress-bar", "--seconds-file",
        str(work / "seconds.json"),
    ]  # fmt: skip
    here = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": here}
    )
    if done.returncode:
        raise SystemExit(f"SimulEval failed with {done.returncode}:\n{done.stderr[-3000:]}")
    lines = (work / "simuleval" / "instances.log").read_text().splitlines()
    texts = [" ".join(json.loads(line)["prediction"].split()) for line in lines]
    return float(json.loads((work / "seconds.json").read_text())), texts


@app.command
def long(
    *, minutes: float = 10, split: str = "test", first: int = 0, pause_ms: int = 280, history_words: int = 0
) -> None:
    """One recording of many sentences against the same speech cut by an oracle: BLEU, and memory while it goes on."""
    bench = make_bench(split, math.ceil(minutes * 60 / 4.5), first)
    parts, total_ms = [], 0.0
    for utterance in bench.spoken:
        if total_ms < minutes * 60_000:
            parts.append(utterance)
            total_ms += utterance.source_ms
    window = LongFormConfig(window_ms=8000, keep_ms=4000, history_words=history_words, pause_ms=pause_ms)
    print(f"{len(parts)} sentences, {total_ms / 60_000:.1f} min; {window!r}")
    for policy, chunk_ms in ((LocalAgreement(n=2), 640), (LocalAgreement(n=2), 1280), (SimulSA(), 1600)):
        oracle = bleu([t.text for t in bench.stream(parts, policy, chunk_ms)], parts)
        memory = MemoryLog()
        begun_s = time.perf_counter()
        [trace] = bench.stream([join(parts)], policy, chunk_ms, long_form=window, progress=memory)
        seconds = time.perf_counter() - begun_s
        texts = [cut.text for cut in resegment(trace, parts)]
        found = bleu(texts, parts)
        print(
            f"{policy} at {chunk_ms} ms: oracle {oracle:.1f} BLEU, one recording {found:.1f} "
            f"({found - oracle:+.1f}); {len(trace.steps)} steps in {seconds:.0f} s; {memory}"
        )


def join(parts: Sequence[SpokenUtterance]) -> SpokenUtterance:
    waveform = np.concatenate([u.waveform for u in parts])
    return SpokenUtterance(id="recording", waveform=waveform, sha=pcm_digest(waveform), references=("x",))


def resegment(trace: StreamTrace, parts: Sequence[SpokenUtterance]) -> list[Any]:
    ends = np.cumsum([u.source_ms for u in parts])
    segments = [
        Segment(
            recording=trace.id,
            offset_ms=end - u.source_ms,
            duration_ms=u.source_ms,
            reference=u.references[0],
        )
        for u, end in zip(parts, ends.tolist(), strict=True)
    ]
    return cut_recording(timed_output(trace, None, "word", queue_clock), segments, alignment="mwer")


def bleu(texts: Sequence[str], parts: Sequence[SpokenUtterance]) -> float:
    return report_quality(texts, [u.references for u in parts], lang="de").bleu


class MemoryLog:
    """Resident memory at every tenth of the recording."""

    def __init__(self) -> None:
        self._mib: dict[int, int] = {}

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // total
        self._mib.setdefault(tenth, psutil.Process().memory_info().rss >> 20)

    def __str__(self) -> str:
        return "resident MiB by tenths " + " ".join(str(mib) for mib in self._mib.values())


if __name__ == "__main__":
    sys.exit(app())
