"""Examples for fine-tuning: audio and the tokens that follow it, from offline utterances and augmented rows.

What cannot be used is counted by reason and left out of its batch; it is never replaced silently.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.audio import AudioError, decode_flac, pcm_digest
from augment.manifest import verify_dataset
from augment.records import to_row
from augment.schema import Utterance
from augment.shards import read_shard
from lalm.encodings import num_audio_positions
from lalm.engine import AudioClip
from lalm.prompts import Prompt, text_ids
from train.errors import TrainError
from train.order import Draw, Source

LoadAudio = Callable[[Utterance], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingExample:
    """Audio and its target; `target_ids` ends with the turn-end id and holds nothing else for an empty target."""

    id: str
    source: Source
    clip: AudioClip
    target_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentedRow:
    """What training needs of a SimulExample."""

    id: str
    flac: bytes
    partial_text: str


def load_rows(dataset_dir: Path) -> tuple[list[AugmentedRow], str]:
    """Every row of a finished dataset, and its digest; the shards are verified first."""
    manifest = verify_dataset(dataset_dir)
    rows = [_row(row) for shard in manifest.shards for row in read_shard(dataset_dir / shard.path)]
    return rows, manifest.dataset_digest


def offline_digest(utterances: Sequence[Utterance]) -> str:
    """sha256 over the utterances' metadata in id order."""
    whole = hashlib.sha256()
    for utterance in sorted(utterances, key=lambda utterance: utterance.id):
        whole.update(json.dumps(to_row(utterance), sort_keys=True).encode() + b"\n")
    return whole.hexdigest()


class Examples:
    """Turns draws into examples, decoding only what is drawn; `drawn` and `skipped` count what became of them."""

    def __init__(
        self,
        offline: Sequence[Utterance],
        rows: Sequence[AugmentedRow],
        *,
        load_audio: LoadAudio,
        tokenizer: Any,
        prompt: Prompt,
        window_samples: int,
        min_samples: int = 0,
    ) -> None:
        self._offline = offline
        self._rows = rows
        self._load_audio = load_audio
        self._tokenizer = tokenizer
        self._turn_end = prompt.stop_ids[0]
        self._window_samples = window_samples
        self._min_samples = min_samples
        self.drawn: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def make(self, draws: Sequence[Draw]) -> list[TrainingExample]:
        """The usable examples among `draws`, in their order."""
        examples: list[TrainingExample] = []
        for draw in draws:
            try:
                examples.append(self._example(draw))
            except AudioError as error:
                self.skipped[f"{draw.source}.{error.reason}"] += 1
            else:
                self.drawn[draw.source] += 1
        return examples

    def _example(self, draw: Draw) -> TrainingExample:
        if draw.source == "offline":
            utterance = self._offline[draw.index]
            id, text, waveform = utterance.id, utterance.tgt_text, self._load_audio(utterance)
        else:
            row = self._rows[draw.index]
            id, text, waveform = row.id, row.partial_text, decode_flac(row.flac)
        self._check_length(id, waveform)
        return TrainingExample(
            id=id,
            source=draw.source,
            clip=AudioClip(key=pcm_digest(waveform), waveform=waveform),
            target_ids=(*text_ids(self._tokenizer, text), self._turn_end),
        )

    def _check_length(self, id: str, waveform: NDArray[np.float32]) -> None:
        if len(waveform) > self._window_samples:
            detail = f"{id} has {len(waveform)} samples, the model hears at most {self._window_samples}"
            raise AudioError("exceeds_model_window", detail)
        if len(waveform) < self._min_samples or num_audio_positions(len(waveform)) < 1:
            raise AudioError(
                "audio_too_short", f"{id} has {len(waveform)} samples, less than one encoder position"
            )


def _row(row: dict[str, Any]) -> AugmentedRow:
    if row["audio"] is None:
        raise TrainError(
            f"row {row['id']} holds no audio, for the dataset was published without it: "
            "rebuild it with `simulsa materialize`, or train on the directory that assemble wrote"
        )
    return AugmentedRow(id=row["id"], flac=row["audio"]["bytes"], partial_text=row["partial_text"])
