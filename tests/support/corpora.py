"""Toy corpora of every layout, with real audio files: a tutorial of what each layout looks like on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from augment.corpora import CorpusConfig

WORDS = {
    "en": ("the", "dog", "sees", "a", "small", "house", "today"),
    "de": ("der", "Hund", "sieht", "ein", "kleines", "Haus", "heute"),
}


def tone(
    duration_s: float, *, seed: int = 0, rate_hz: int = 16_000, channels: int = 1
) -> NDArray[np.float32]:
    """A seeded tone with a little noise; shape (num_frames,) or (num_frames, channels)."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    wave = 0.3 * np.sin(2 * np.pi * (150 + 37 * (seed % 20)) * time_s) + 0.01 * rng.standard_normal(
        len(time_s)
    )
    mono = wave.astype(np.float32)
    return mono if channels == 1 else np.stack([mono / (k + 1) for k in range(channels)], axis=1)


def sentence(lang: str, index: int) -> str:
    """The toy sentence number `index`, 4 to 6 words; the same index is a translation pair."""
    words = WORDS.get(lang, WORDS["en"])
    return " ".join(words[(index + k) % len(words)] for k in range(4 + index % 3))


def write_audio(
    path: Path, duration_s: float, *, seed: int = 0, rate_hz: int = 16_000, channels: int = 1
) -> None:
    """A real audio file; the suffix names the format (.wav, .flac, .ogg, .mp3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(duration_s, seed=seed, rate_hz=rate_hz, channels=channels), rate_hz)


def write_covost2(
    root: Path,
    n: int = 4,
    *,
    split: str = "train",
    src: str = "en",
    tgt: str = "de",
    suffix: str = ".wav",
    durations_s: Sequence[float] = (1.2, 2.0, 1.6),
    rate_hz: int = 16_000,
    name: str = "toy",
    license: str = "cc0-1.0",
) -> CorpusConfig:
    """`covost_v2.{src}_{tgt}.{split}.tsv` and its clips; call it once per split."""
    lines = ["path\tsentence\ttranslation\tclient_id"]
    for index in range(n):
        clip = f"{split}_{index:03d}{suffix}"
        write_audio(root / "clips" / clip, durations_s[index % len(durations_s)], seed=index, rate_hz=rate_hz)
        lines.append(f"{clip}\t{sentence(src, index)}\t{sentence(tgt, index)}\tspeaker{index % 2}")
    (root / f"covost_v2.{src}_{tgt}.{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CorpusConfig(
        name=name, layout="covost2", root=str(root), src_lang=src, tgt_lang=tgt, license=license
    )


def write_iwslt(
    root: Path,
    *,
    recordings: int = 2,
    segments: int = 3,
    split: str = "train",
    src: str = "en",
    tgt: str = "de",
    segment_s: float = 1.5,
    rate_hz: int = 16_000,
    name: str = "toy",
    license: str = "cc0-1.0",
) -> CorpusConfig:
    """`{split}/wav/*.wav`, `{split}/txt/{split}.yaml` and line-aligned text; segments lie 0.25 s apart."""
    txt = root / split / "txt"
    txt.mkdir(parents=True, exist_ok=True)
    entries: list[str] = []
    for recording in range(recordings):
        wav = f"talk_{recording}.wav"
        length_s = segments * (segment_s + 0.25) + 0.25
        write_audio(root / split / "wav" / wav, length_s, seed=recording, rate_hz=rate_hz)
        for index in range(segments):
            offset_s = 0.25 + index * (segment_s + 0.25)
            where = f"duration: {segment_s:.6f}, offset: {offset_s:.6f}"
            entries.append(f"- {{{where}, rW: 5, uW: 0, speaker_id: spk.{recording}, wav: {wav}}}")
    (txt / f"{split}.yaml").write_text("\n".join(entries) + "\n", encoding="utf-8")
    for lang in (src, tgt):
        text = "".join(f"{sentence(lang, index)}\n" for index in range(len(entries)))
        (txt / f"{split}.{lang}").write_text(text, encoding="utf-8")
    return CorpusConfig(
        name=name, layout="iwslt", root=str(root), src_lang=src, tgt_lang=tgt, license=license
    )


def write_jsonl(
    root: Path,
    n: int = 4,
    *,
    split: str = "train",
    src: str = "en",
    tgt: str = "de",
    suffix: str = ".flac",
    durations_s: Sequence[float] = (1.2, 2.0, 1.6),
    name: str = "toy",
    license: str = "cc0-1.0",
) -> CorpusConfig:
    """`{split}.jsonl` and `audio/`; call it once per split."""
    records = []
    for index in range(n):
        audio = f"audio/{split}_{index:03d}{suffix}"
        write_audio(root / audio, durations_s[index % len(durations_s)], seed=index)
        records.append(
            {
                "id": f"{split}-{index}",
                "audio": audio,
                "src_text": sentence(src, index),
                "tgt_text": sentence(tgt, index),
            }
        )
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (root / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return CorpusConfig(
        name=name, layout="jsonl", root=str(root), src_lang=src, tgt_lang=tgt, license=license
    )
