"""The four stages that make a dataset: select, truncate, generate, assemble, and the last one that joins the shards.

Each task is one library call under `store.ensure`; what enters its key is listed in `inputs`, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from augment.assemble import DatasetConfig, assemble_shard
from augment.audio import AudioError, decode_flac, encode_flac
from augment.corpora import Corpus
from augment.finish import finish_dataset
from augment.manifest import Provenance
from augment.partial import PartialConfig, partial_targets
from augment.quality import language_libraries
from augment.records import read_records, write_records
from augment.schema import (
    SAMPLE_RATE_HZ,
    PartialTarget,
    QualityEstimate,
    Rejection,
    TruncatedUtterance,
    Utterance,
)
from augment.shards import bucket
from augment.truncate import TruncateConfig, draw_id, is_selected, truncate
from lalm.prompts import Prompt
from tasks.audio_pack import read_audio, write_audio
from tasks.inputs import audio_digest
from tasks.reporting import Progress
from tasks.stage import stage_task
from tasks.store import Manifest
from tasks.workspace import Workspace

SELECT_VERSION = 1
TRUNCATE_VERSION = 1
GENERATE_VERSION = 1
ASSEMBLE_VERSION = 2
DATASET_VERSION = 2

AUDIO_LIBRARIES = {name: version(name) for name in ("soxr", "soundfile")}
PARQUET_LIBRARIES = {"pyarrow": version("pyarrow")}
PICTURE_LIBRARIES = {"pillow": version("pillow")}


@stage_task("select")
def select_utterances(
    ws: Workspace, corpus: Corpus, split: str, config: TruncateConfig, n_shards: int
) -> Manifest:
    """Check the metadata of every line, and choose about `fraction` of the utterances, by id and seed alone."""
    inputs = {
        "corpus": corpus.digest(), "split": split, "seed": ws.seed, "n_shards": n_shards,
        "fraction": config.fraction, "draws": config.draws_per_utterance, "libraries": PARQUET_LIBRARIES,
    }  # fmt: skip
    return ws.store.ensure(
        "select", SELECT_VERSION, inputs, partial(_write_selection, ws, corpus, config, n_shards)
    )


def _write_selection(
    ws: Workspace, corpus: Corpus, config: TruncateConfig, n_shards: int, out: Path
) -> Mapping[str, Any]:
    chosen: list[list[Utterance]] = [[] for _ in range(n_shards)]
    rejected: list[Rejection] = []
    seen, progress = 0, ws.progress()
    for seen, entry in enumerate(corpus, start=1):
        if isinstance(entry, Rejection):
            rejected.append(entry)
        elif is_selected(ws.seed, entry.corpus, entry.id, config.selected_share):
            chosen[bucket(entry.id, n_shards)].append(entry)
        if seen % 1024 == 0:
            progress(seen, 0)
    progress(seen, seen)
    for index, utterances in enumerate(chosen):
        write_records(out / f"selected-{index}.parquet", utterances, Utterance)
    write_records(out / "rejected.parquet", rejected, Rejection)
    selected = sum(map(len, chosen))
    return {"lines": seen, "rejected": len(rejected), "selected": selected}


@stage_task("truncate")
def truncate_shard(
    ws: Workspace, corpus: Corpus, selection: Manifest, index: int, config: TruncateConfig
) -> Manifest:
    """Decode the selected audio of one shard and choose how many samples of each utterance are kept."""
    utterances = read_records(selection.path(f"selected-{index}.parquet"), Utterance)
    audio = audio_digest(ws.digests, corpus, utterances)
    inputs = {
        "selected": selection.files[f"selected-{index}.parquet"].sha256, "audio": audio, "seed": ws.seed,
        "config": config.model_dump(mode="json"), "libraries": AUDIO_LIBRARIES | PARQUET_LIBRARIES,
    }  # fmt: skip
    write = partial(_write_truncated, ws, corpus, utterances, config)
    return ws.store.ensure("truncate", TRUNCATE_VERSION, inputs, write)


def _write_truncated(
    ws: Workspace, corpus: Corpus, utterances: list[Utterance], config: TruncateConfig, out: Path
) -> Mapping[str, Any]:
    kept: list[TruncatedUtterance] = []
    rejected: list[Rejection] = []
    audio: dict[str, bytes] = {}
    progress = ws.progress()
    for done, utterance in enumerate(utterances, start=1):
        for draw in _draws(corpus, utterance, config, ws.seed):
            if isinstance(draw, Rejection):
                rejected.append(draw)
            else:
                truncated, flac = draw
                kept.append(truncated)
                audio[utterance.id] = flac
        progress(done, len(utterances))
    write_records(out / "truncated.parquet", kept, TruncatedUtterance)
    write_records(out / "rejected.parquet", rejected, Rejection)
    write_audio(out / "audio.parquet", audio)
    kept_s = sum(t.kept_samples for t in kept) / SAMPLE_RATE_HZ
    return {"kept": len(kept), "rejected": len(rejected), "kept_s": round(kept_s, 3)}


def _draws(
    corpus: Corpus, utterance: Utterance, config: TruncateConfig, seed: int
) -> list[tuple[TruncatedUtterance, bytes] | Rejection]:
    """One entry per draw; audio that cannot be used rejects every draw of its utterance."""
    draws = range(config.draws_per_utterance)
    try:
        waveform = corpus.load_audio(utterance)
    except AudioError as error:
        reason, detail = error.reason, str(error)
        ids = [draw_id(utterance.id, draw) for draw in draws]
        return [Rejection(id=id, stage="truncate", reason=reason, detail=detail) for id in ids]
    flac = encode_flac(waveform)
    results = [truncate(utterance, waveform, config, seed, draw) for draw in draws]
    return [result if isinstance(result, Rejection) else (result, flac) for result in results]


@stage_task("generate")
def generate_shard(ws: Workspace, truncated: Manifest, config: PartialConfig, prompt: Prompt) -> Manifest:
    """Ask the LALM which part of each translation the kept audio supports."""
    inputs = {
        "truncated": truncated.digest, "engine": ws.identity, "prompt": list(prompt.ids),
        "stop": list(prompt.stop_ids), "seed": ws.seed, "config": config.model_dump(mode="json"),
        "libraries": PARQUET_LIBRARIES,
    }  # fmt: skip
    write = partial(_write_partial, ws, truncated, config, prompt)
    return ws.store.ensure("generate", GENERATE_VERSION, inputs, write)


def _write_partial(
    ws: Workspace, truncated: Manifest, config: PartialConfig, prompt: Prompt, out: Path
) -> Mapping[str, Any]:
    records = read_records(truncated.path("truncated.parquet"), TruncatedUtterance)
    flacs = read_audio(truncated.path("audio.parquet"))
    targets: list[PartialTarget] = []
    rejected: list[Rejection] = []
    progress = ws.progress()
    with ws.asking("generate") as engine:
        results = partial_targets(
            ((record, decode_flac(flacs[record.utterance.id])) for record in records),
            engine=engine, prompt=prompt, tokenizer=ws.tokenizer, config=config, seed=ws.seed,
            group_size=ws.accelerator.group_size,
        )  # fmt: skip
        for done, result in enumerate(results, start=1):
            (rejected if isinstance(result, Rejection) else targets).append(result)  # type: ignore[arg-type]
            progress(done, len(records))
    targets.sort(key=lambda target: target.id)
    rejected.sort(key=lambda rejection: rejection.id)
    write_records(out / "partial.parquet", targets, PartialTarget)
    write_records(out / "rejected.parquet", rejected, Rejection)
    return {"targets": len(targets), "rejected": len(rejected), **_target_facts(targets)}


def _target_facts(targets: list[PartialTarget]) -> dict[str, Any]:
    shares = [len(t.token_ids) / len(t.draft_ids) for t in targets if t.draft_ids]
    return {
        "empty": sum(not t.token_ids for t in targets),
        "near_ties": sum(t.near_tie for t in targets),
        "accepted_share": round(sum(shares) / len(shares), 4) if shares else None,
    }


@stage_task("assemble")
def assemble_dataset_shard(
    ws: Workspace, truncated: Manifest, generated: Manifest, index: int, provenance: Provenance,
    config: DatasetConfig, estimated: Manifest | None = None,
) -> Manifest:  # fmt: skip
    """Join cuts and targets into rows with playable audio, check their quality, write one Parquet shard."""
    inputs = {
        "truncated": truncated.digest, "generated": generated.digest, "index": index,
        "provenance": asdict(provenance), "config": config.semantic,
        "libraries": AUDIO_LIBRARIES | PARQUET_LIBRARIES | language_libraries(config.quality.identify_language),
    }  # fmt: skip
    if estimated:
        inputs["estimated"] = estimated.digest
    write = partial(_write_rows, truncated, generated, estimated, index, provenance, config, ws.progress())
    return ws.store.ensure("assemble", ASSEMBLE_VERSION, inputs, write)


def _write_rows(
    truncated: Manifest, generated: Manifest, estimated: Manifest | None, index: int, provenance: Provenance,
    config: DatasetConfig, progress: Progress, out: Path,
) -> Mapping[str, Any]:  # fmt: skip
    targets = {t.id: t for t in read_records(generated.path("partial.parquet"), PartialTarget)}
    flacs = read_audio(truncated.path("audio.parquet"))
    records = read_records(truncated.path("truncated.parquet"), TruncatedUtterance)
    shard = assemble_shard(
        out, index=index, provenance=provenance, config=config, progress=progress,
        pairs=[(record, targets[record.id]) for record in records if record.id in targets],
        rejections=[*_rejections(truncated), *_rejections(generated)],
        estimates=_estimates(estimated) if estimated else None,
        load_kept=lambda record: decode_flac(flacs[record.utterance.id])[: record.kept_samples],
    )  # fmt: skip
    return {"shard": asdict(shard)}


def _estimates(manifest: Manifest) -> dict[str, QualityEstimate]:
    return {e.id: e for e in read_records(manifest.path("estimates.parquet"), QualityEstimate)}


def _rejections(manifest: Manifest) -> list[Rejection]:
    return read_records(manifest.path("rejected.parquet"), Rejection)


@stage_task("dataset")
def join_shards(
    ws: Workspace, selection: Manifest, shards: list[Manifest], provenance: Provenance, draws: int,
    config: DatasetConfig,
) -> Manifest:  # fmt: skip
    """Write the dataset directory: shards, rejected.parquet, evidence.parquet, card and manifest."""
    inputs = {
        "selection": selection.digest, "shards": [shard.digest for shard in shards], "draws": draws,
        "provenance": asdict(provenance), "config": config.semantic,
        "libraries": PARQUET_LIBRARIES | PICTURE_LIBRARIES,
    }  # fmt: skip
    write = partial(_write_dataset, selection, shards, provenance, draws, config)
    return ws.store.ensure("dataset", DATASET_VERSION, inputs, write)


def _write_dataset(
    selection: Manifest, shards: list[Manifest], provenance: Provenance, draws: int, config: DatasetConfig,
    out: Path,
) -> Mapping[str, Any]:  # fmt: skip
    """A selected utterance counts once per draw, in `selected` and in `input` alike."""
    facts = selection.info
    manifest = finish_dataset(
        out, part_dirs=[shard.directory for shard in shards], read_rejections=_rejections(selection),
        num_input=facts["lines"] + facts["selected"] * (draws - 1),
        not_selected=facts["lines"] - facts["rejected"] - facts["selected"],
        provenance=provenance, config=config, splits=(selection.inputs["split"],),
    )  # fmt: skip
    return {"digest": manifest.dataset_digest, **asdict(manifest.counts), "rejected": manifest.rejected}
