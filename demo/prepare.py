"""Model inputs of many utterances: log-mel features as the processor makes them, word labels, translations.

Features are computed on the full zero-padded window, exactly as at inference, and stored cropped to the
audio plus a margin; what was cropped is constant, so its value is stored once. Shards make it resumable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from transformers import WhisperFeatureExtractor

from demo.architecture import NUM_MELS, WINDOW_S
from demo.corpus import Spec, make_utterance
from demo.truth import SAMPLES_PER_MS, Truth
from demo.workers import parallel_map

SHARD_SIZE = 500
MARGIN_FRAMES = 6
SAMPLES_PER_FRAME = 160
FRAMES_PER_STATE = 4  # one encoder state is 40 ms
Floats = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One utterance for training; ``mel`` is [frames + margin, mels] and ``floor`` the value after it."""

    mel: Floats
    floor: float
    num_frames: int
    state_words: tuple[str, ...]
    translation: str

    @property
    def num_states(self) -> int:
        """How many encoder states the audio has, as Qwen2-Audio counts them."""
        return ((self.num_frames - 1) // 2 + 1) // 2


def words_of_states(truth: Truth, num_states: int) -> tuple[str, ...]:
    """The word sounding at the middle of each encoder state; empty after the last one."""
    middles = (np.arange(num_states) + 0.5) * FRAMES_PER_STATE * 10 * SAMPLES_PER_MS
    which = np.searchsorted(truth.word_ends_sample, middles, side="right")
    names = (*truth.source_words, "")
    return tuple(names[i] for i in which)


def _example(extractor: WhisperFeatureExtractor, spec: Spec) -> tuple[Example, str]:
    truth, speech = make_utterance(spec)
    audio = speech.pcm.astype(np.float32) / 32768
    # [mels, frames of the window]
    mel = extractor(audio, sampling_rate=16_000, return_tensors="np").input_features[0]
    num_frames = -(-len(audio) // SAMPLES_PER_FRAME)
    num_states = ((num_frames - 1) // 2 + 1) // 2
    example = Example(
        mel=mel[:, : num_frames + MARGIN_FRAMES].T.astype(np.float16),
        floor=float(mel.min()),
        num_frames=num_frames,
        state_words=words_of_states(truth, num_states),
        translation=truth.references[0],
    )
    return example, sha256(speech.pcm.tobytes() + truth.references[0].encode()).hexdigest()


def _write_shard(directory: Path, specs: Sequence[Spec]) -> Path:
    """Prepare some utterances unless their shard exists; the rename makes it exist."""
    path = directory / f"{specs[0].id}-{len(specs)}.pt"
    if path.exists():
        return path
    extractor = WhisperFeatureExtractor(
        chunk_length=WINDOW_S, feature_size=NUM_MELS, return_attention_mask=True
    )
    examples, digests = zip(*(_example(extractor, spec) for spec in specs), strict=True)
    payload: dict[str, Any] = {
        "mel": torch.from_numpy(np.concatenate([e.mel for e in examples])),
        "rows": [len(e.mel) for e in examples],
        "floor": [e.floor for e in examples],
        "num_frames": [e.num_frames for e in examples],
        "state_words": [e.state_words for e in examples],
        "translation": [e.translation for e in examples],
        "digests": list(digests),
    }
    partial_path = path.with_suffix(".partial")
    torch.save(payload, partial_path)
    partial_path.rename(path)
    return path


def _read_shard(path: Path) -> tuple[list[Example], list[str]]:
    payload = torch.load(path)
    mels = torch.split(payload["mel"], payload["rows"])
    fields = (payload["floor"], payload["num_frames"], payload["state_words"], payload["translation"])
    examples = [
        Example(mel=mel.numpy(), floor=floor, num_frames=n, state_words=words, translation=translation)
        for mel, floor, n, words, translation in zip(mels, *fields, strict=True)
    ]
    return examples, payload["digests"]


def prepare(specs: Sequence[Spec], directory: Path, *, workers: int = 2) -> tuple[list[Example], str]:
    """The examples in order, and the digest of their audio and translations."""
    directory.mkdir(parents=True, exist_ok=True)
    groups = [specs[i : i + SHARD_SIZE] for i in range(0, len(specs), SHARD_SIZE)]
    written = parallel_map(partial(_write_shard, directory), groups, workers=workers)
    paths = list(track(written, "preparing", total=len(groups)))
    shards = [_read_shard(path) for path in paths]
    digest = sha256("".join(d for _, digests in shards for d in digests).encode()).hexdigest()
    return [example for examples, _ in shards for example in examples], digest
