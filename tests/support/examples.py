"""Small truncated utterances, partial targets and whole datasets, made without a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.assemble import DatasetConfig, assemble_shard
from augment.audio import pcm_digest
from augment.finish import finish_dataset
from augment.manifest import DatasetManifest, Provenance
from augment.schema import AudioRef, PartialTarget, Rejection, TruncatedUtterance, Utterance
from augment.shards import bucket
from tests.support.micro import random_waveform

PROVENANCE = Provenance(
    draft="self",
    rule="greedy",
    threshold=None,
    alpha=1.0,
    beta=3.0,
    seed=7,
    model="micro-lalm",
    model_revision="0123abcd",
    prompt_hash="p" * 8,
    config_hash="c" * 8,
    instruction="Translate the English speech into German.",
    code_version="0.1.0",
)


def utterance(id: str, **changes: Any) -> Utterance:
    """An English-German utterance that reads like a corpus line."""
    base = Utterance(
        id=id,
        corpus="toy",
        split="train",
        audio=AudioRef(path=f"{id}.wav"),
        src_lang="en",
        tgt_lang="de",
        src_text="we will visit the old bridge",
        tgt_text="wir werden die alte Brücke besuchen",
        license="cc0-1.0",
    )
    return replace(base, **changes)


def full_waveform(id: str, num_samples: int = 24_000) -> NDArray[np.float32]:
    """Audio that belongs to this id, shape (num_samples,)."""
    return random_waveform(sum(map(ord, id)), num_samples)


def truncated(id: str, kept_samples: int = 12_000, **changes: Any) -> TruncatedUtterance:
    """The first `kept_samples` of the id's audio."""
    waveform = full_waveform(id)
    return TruncatedUtterance(
        id=id,
        draw=0,
        utterance=utterance(id, **changes),
        num_samples=len(waveform),
        kept_samples=kept_samples,
        kept_ratio=kept_samples / len(waveform),
        audio_sha256=pcm_digest(waveform),
        kept_sha256=pcm_digest(waveform[:kept_samples]),
    )


def load_kept(item: TruncatedUtterance) -> NDArray[np.float32]:
    """The kept audio of `truncated(id)`."""
    return full_waveform(item.utterance.id)[: item.kept_samples]


def target(id: str, text: str = "wir werden", **changes: Any) -> PartialTarget:
    """A partial target that accepted two of six draft tokens; an empty text accepted none."""
    ids = (11, 12) if text else ()
    base = PartialTarget(
        id=id,
        text=text,
        token_ids=ids,
        draft_text="wir werden die alte Brücke besuchen",
        draft_ids=(11, 12, 13, 14, 15, 16),
        accepted_tokens=len(ids),
        mean_logprob=-0.25 if ids else None,
        near_tie=False,
        kept_logprobs=(-0.2, -0.3, -4.0, -5.0, -6.0, -7.0),
        rival_logprobs=(-2.0, -3.0, -0.1, -0.2, -0.3, -0.4),
    )
    return replace(base, **changes)


def build_dataset(
    root: Path,
    ids: Sequence[str],
    *,
    n_shards: int = 2,
    texts: dict[str, str] | None = None,
    rejections: Iterable[Rejection] = (),
    read_rejections: Sequence[Rejection] = (),
    not_selected: int = 5,
    splits: Sequence[str] = ("train",),
    **changes: Any,
) -> DatasetManifest:
    """Assemble one part directory per shard below `root/parts` and finish them into `root/dataset`."""
    config = DatasetConfig(n_shards=n_shards)
    rejections = list(rejections)
    parts = [root / "parts" / str(index) for index in range(n_shards)]
    for index, part in enumerate(parts):
        assemble_shard(
            part,
            index=index,
            pairs=[
                (truncated(id, **changes), target(id, (texts or {}).get(id, "wir werden")))
                for id in ids
                if bucket(id, n_shards) == index
            ],
            rejections=[item for item in rejections if bucket(item.id, n_shards) == index],
            load_kept=load_kept,
            provenance=PROVENANCE,
            config=config,
        )
    return finish_dataset(
        root / "dataset",
        part_dirs=parts,
        read_rejections=read_rejections,
        num_input=len(ids) + len(rejections) + len(read_rejections) + not_selected,
        not_selected=not_selected,
        provenance=PROVENANCE,
        config=config,
        splits=splits,
    )
