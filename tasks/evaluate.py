"""The evaluation stages: stream every system at every chunk size, then score all of them together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from augment.audio import AudioError, pcm_digest
from augment.corpora import Corpus
from augment.schema import Rejection, Utterance
from evaluate.config import EvaluateConfig
from evaluate.curves import Hypothesis, ScoredPoint, score_hypotheses, score_traces
from evaluate.latency import normalized_erasure
from evaluate.latency.scores import corpus_scores
from evaluate.policies import Policy
from evaluate.quality import bleu_tokenizer
from evaluate.session import SIMULSA, SpokenUtterance
from evaluate.significance import compare_at_equal_latency
from evaluate.stream import simulate
from evaluate.trace import StreamTrace, read_traces, require_forward, write_traces
from evaluate.units import choose_unit
from lalm.adapters import adapter_digest
from lalm.languages import base_language
from lalm.prompts import Prompt
from tasks.dataset import AUDIO_LIBRARIES
from tasks.inputs import audio_digest
from tasks.stage import stage_task
from tasks.store import Manifest, fingerprint
from tasks.workspace import Workspace

STREAM_VERSION = 1
SCORE_VERSION = 1
SCORING = ("unit", "bootstrap_resamples", "bootstrap_seed", "confidence", "laal_points")
"""The settings that scores depend on; all others are in the keys of the traces."""

References = Mapping[str, Sequence[str]]
Timed = Mapping[str, tuple[str, Sequence[float]]]
Streamed = Mapping[str, Sequence[Manifest]]
"""System -> its traces, one manifest a chunk size."""
Labelled = Mapping[str, Sequence[tuple[str, Manifest]]]
"""Curve name -> its points, each the setting of the policy's knob and the traces made with it."""


class SpokenSet:
    """The utterances to stream, in corpus order; audio is decoded once, at the first stage that needs it.

    `references` adds valid translations by id; `unreadable` lists audio that could not be used (it counts as empty).
    """

    def __init__(self, corpus: Corpus, config: EvaluateConfig, references: References | None = None) -> None:
        self.corpus = corpus
        self.unreadable: dict[str, str] = {}
        self._references = references or {}
        entries = (entry for entry in corpus if not isinstance(entry, Rejection))
        self.utterances: list[Utterance] = [
            u for _, u in zip(range(config.max_utterances or 2**62), entries, strict=False)
        ]

    def references(self, utterance: Utterance) -> tuple[str, ...]:
        """The corpus's own translation first, then the other valid ones."""
        others = (text for text in self._references.get(utterance.id, ()) if text != utterance.tgt_text)
        return (utterance.tgt_text, *others)

    @cached_property
    def spoken(self) -> list[SpokenUtterance]:
        return [self._load(utterance) for utterance in self.utterances]

    def _load(self, utterance: Utterance) -> SpokenUtterance:
        try:
            waveform = self.corpus.load_audio(utterance)
        except AudioError as error:
            self.unreadable[utterance.id] = str(error)
            waveform = np.zeros(0, dtype=np.float32)
        return SpokenUtterance(
            id=utterance.id, waveform=waveform, sha=pcm_digest(waveform),
            references=self.references(utterance), src_text=utterance.src_text,
        )  # fmt: skip


@stage_task("stream")
def stream_system(
    ws: Workspace, spoken: SpokenSet, adapter: Path | None, chunk_ms: int | None, config: EvaluateConfig,
    prompt: Prompt, tgt_lang: str, policy: Policy = SIMULSA,
) -> Manifest:  # fmt: skip
    """Translate every utterance in steps of `chunk_ms` (None: whole) with one system, all of them in one batch."""
    inputs = stream_inputs(ws, spoken, adapter, chunk_ms, config, prompt, tgt_lang)
    if policy != SIMULSA:
        inputs["policy"] = repr(policy)

    def write(out: Path) -> Mapping[str, Any]:
        with ws.asking("evaluate") as engine:
            traces = simulate(
                spoken.spoken, engine=engine, prompt=prompt, tokenizer=ws.tokenizer,
                chunk_ms=chunk_ms, config=config, adapter=adapter, tgt_lang=tgt_lang, policy=policy,
                progress=ws.progress(),
            )  # fmt: skip
        return keep_traces(out, traces, spoken)

    return ws.store.ensure("stream", STREAM_VERSION, inputs, write)


def stream_inputs(
    ws: Workspace, spoken: SpokenSet, adapter: Path | None, chunk_ms: int | None, config: EvaluateConfig,
    prompt: Prompt, tgt_lang: str,
) -> dict[str, Any]:  # fmt: skip
    """What decides the traces of one system at one chunk size under SimulSA."""
    inputs = {
        "engine": ws.identity, "adapter": adapter_digest(adapter) if adapter else None,
        "corpus": spoken.corpus.digest(), "ids": fingerprint([u.id for u in spoken.utterances]),
        "audio": audio_digest(ws.digests, spoken.corpus, spoken.utterances),
        "chunk_ms": chunk_ms, "caps": [config.max_new_tokens_per_step, config.max_new_tokens_offline],
        "unit": choose_unit(config.unit, tgt_lang), "tgt_lang": tgt_lang, "prompt": list(prompt.ids),
        "stop": list(prompt.stop_ids), "libraries": AUDIO_LIBRARIES,
    }  # fmt: skip
    if config.long_form:
        inputs["long_form"] = config.long_form.model_dump(mode="json", exclude_none=True)
    return inputs


def keep_traces(out: Path, traces: Sequence[StreamTrace], spoken: SpokenSet) -> dict[str, Any]:
    """Write traces that are possible; how many, and why utterances failed, by id: these count as empty."""
    for trace in traces:
        require_forward(trace)
    write_traces(out / "traces.jsonl", traces)
    failed = {t.id: spoken.unreadable.get(t.id, t.failure) for t in traces if t.failure}
    return {"utterances": len(traces), "failed": failed}


@stage_task("score")
def score_systems(
    ws: Workspace, spoken: SpokenSet, streamed: Streamed, config: EvaluateConfig,
    tgt_lang: str, ceiling: Timed | None, policies: Labelled | None = None, timed: Streamed | None = None,
    neural: Sequence[Manifest] = (),
) -> Manifest:  # fmt: skip
    """Quality against latency of every system, and BLEU at equal LAAL with paired bootstrap intervals."""
    references = [spoken.references(utterance) for utterance in spoken.utterances]
    inputs: dict[str, Any] = {
        "traces": {name: [m.digest for m in points] for name, points in streamed.items()},
        "references": fingerprint(references),
        "config": config.model_dump(mode="json", include=set(SCORING)),
        "ceiling": fingerprint(ceiling) if ceiling else None, "sacrebleu": version("sacrebleu"),
        "tgt_lang": tgt_lang,
    }  # fmt: skip
    if base_language(tgt_lang) == "ja":  # the one whose tokenizer depends on what is installed
        inputs["tokenizer"] = bleu_tokenizer(tgt_lang)
    if policies:
        inputs["policies"] = {
            name: [[knob, m.digest] for knob, m in points] for name, points in policies.items()
        }
    if timed:
        inputs["timed"] = {name: [m.key for m in points] for name, points in timed.items()}
    if neural:
        inputs["neural"] = [m.digest for m in neural]

    def write(out: Path) -> Mapping[str, Any]:
        scores = _score(spoken.spoken, streamed, config, tgt_lang, ceiling)
        if policies:
            scores["policies"] = _score_policies(spoken.spoken, policies, config, tgt_lang)
        if timed:
            scores["timed"] = _score_timed(spoken.spoken, timed, config, tgt_lang)
        if neural:
            scores["neural"] = neural_scores(neural)
        (out / "scores.json").write_text(json.dumps(scores, indent=2, allow_nan=False))
        return {"points": sum(len(points) for points in streamed.values())}

    return ws.store.ensure("score", SCORE_VERSION, inputs, write)


def _score(
    spoken: Sequence[SpokenUtterance], streamed: Streamed, config: EvaluateConfig,
    tgt_lang: str, ceiling: Timed | None,
) -> dict[str, Any]:  # fmt: skip
    unit = choose_unit(config.unit, tgt_lang)
    curves: dict[str, list[ScoredPoint]] = {
        name: [score_traces(traces_of(m), spoken, tgt_lang=tgt_lang, unit=unit) for m in points]
        for name, points in streamed.items()
    }
    scores: dict[str, Any] = {
        "curves": {name: [scored.point.to_json() for scored in points] for name, points in curves.items()},
        "equal_latency": [point.to_json() for point in compare_at_equal_latency(curves, config)],
        "ceiling": None,
    }
    if ceiling:
        timed = [Hypothesis(text=ceiling[u.id][0], delays_ms=tuple(ceiling[u.id][1])) for u in spoken]
        scores["ceiling"] = score_hypotheses(timed, spoken, tgt_lang=tgt_lang, unit=unit).point.to_json()
    return scores


def neural_scores(made: Sequence[Manifest]) -> list[dict[str, Any]]:
    """What scores.json tells of each COMET model: every point's report without its utterances."""
    models = [json.loads(manifest.path("neural.json").read_text()) for manifest in made]
    for points in (points for model in models for points in model["curves"].values()):
        for point in points:
            del point["utterances"]
    return models


def _score_policies(
    spoken: Sequence[SpokenUtterance], policies: Labelled, config: EvaluateConfig, tgt_lang: str
) -> dict[str, Any]:
    """The curves of the policies beside SimulSA: every point with the setting of its knob."""
    unit = choose_unit(config.unit, tgt_lang)

    def point(knob: str, made: Manifest) -> dict[str, Any]:
        traces = traces_of(made)
        scored = score_traces(traces, spoken, tgt_lang=tgt_lang, unit=unit).point.to_json()
        return {"knob": knob, **scored, "normalized_erasure": _or_null(normalized_erasure(traces, unit))}

    return {name: [point(*labelled) for labelled in points] for name, points in policies.items()}


def _score_timed(
    spoken: Sequence[SpokenUtterance], timed: Streamed, config: EvaluateConfig, tgt_lang: str
) -> dict[str, Any]:
    """Every latency metric on both clocks, percentiles and RTF of every timed point, and what it was measured on."""
    unit = choose_unit(config.unit, tgt_lang)

    def point(made: Manifest) -> dict[str, Any]:
        traces = traces_of(made)
        references = [utterance.references[0] for utterance in spoken[: len(traces)]]
        scores = {name: _or_null(value) for name, value in corpus_scores(traces, references, unit).items()}
        return {
            "chunk_ms": made.inputs["chunk_ms"], "n_utterances": len(traces), "n_failed": len(made.info["failed"]),
            **scores,
        }  # fmt: skip

    made = next(iter(timed.values()))[0]
    return {
        "unit": unit, "engine": made.inputs["engine"], "hardware": made.inputs["hardware"],
        "warm_up": made.info["warm_up"], "coalesce": made.inputs["timed"]["coalesce"],
        "curves": {name: [point(m) for m in points] for name, points in timed.items()},
    }  # fmt: skip


def traces_of(manifest: Manifest) -> list[StreamTrace]:
    """The traces of one system at one chunk size."""
    return list(read_traces(manifest.path("traces.jsonl")))


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None
