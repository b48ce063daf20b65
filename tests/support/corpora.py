"""Toy corpora of every layout, with real audio files: a tutorial of what each layout looks like on disk."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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


def encoded(duration_s: float, *, seed: int = 0, format: str = "FLAC") -> bytes:
    """The bytes of an audio file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(duration_s, seed=seed), 16_000, format=format)
    return buffer.getvalue()


def write_europarl_st(
    root: Path,
    *,
    speeches: int = 2,
    segments: int = 2,
    split: str = "train",
    src: str = "en",
    tgt: str = "de",
    segment_s: float = 1.5,
    suffix: str = ".wav",
    name: str = "toy",
    license: str = "cc-by-nc-4.0",
) -> CorpusConfig:
    """`{src}/{tgt}/{split}/segments.lst` with begin and end, line-aligned text, and `{src}/audios/`."""
    base = root / src / tgt / split
    base.mkdir(parents=True, exist_ok=True)
    names = [f"{src}.20080925.{index}.3-189" for index in range(speeches)]
    lines = []
    for speech, file in enumerate(names):
        write_audio(root / src / "audios" / f"{file}{suffix}", segments * segment_s, seed=speech)
        lines += [f"{file} {k * segment_s:.2f} {(k + 1) * segment_s:.2f}" for k in range(segments)]
    (base / "segments.lst").write_text("\n".join(lines) + "\n")
    (base / "speeches.lst").write_text("\n".join(names) + "\n")
    (base / "speakers.lst").write_text("".join(f"MEP_{index}\n" for index in range(speeches)))
    for lang in (src, tgt):
        text = "".join(f"{sentence(lang, index)}\n" for index in range(len(lines)))
        (base / f"segments.{lang}").write_text(text, encoding="utf-8")
    return CorpusConfig(
        name=name, layout="europarl_st", root=str(root), src_lang=src, tgt_lang=tgt, license=license
    )


def write_fleurs(
    root: Path, n: int = 4, *, split: str = "train", name: str = "toy", license: str = "cc-by-4.0"
) -> CorpusConfig:
    """`en_us/train.tsv` and `de_de/train.tsv` without headers, English audio, and a sentence that two people read."""
    for folder, lang in (("en_us", "en"), ("de_de", "de")):
        lines = []
        for index in [*range(n), 0]:
            file = f"{lang}{len(lines):05d}.wav"
            text = sentence(lang, index)
            lines.append(f"{index + 1}\t{file}\t{text}.\t{text.lower()}\t{'|'.join(text)}\t32000\tFEMALE")
            if lang == "en":
                write_audio(root / folder / "audio" / split / file, 2.0, seed=len(lines))
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CorpusConfig(
        name=name, layout="fleurs", root=str(root), src_lang="en", tgt_lang="de", license=license
    )


def write_fairseq(
    root: Path,
    n: int = 4,
    *,
    split: str = "train",
    zipped: bool = True,
    name: str = "toy",
    license: str = "cc0-1.0",
) -> CorpusConfig:
    """`{split}_st.tsv`, and its audio as entries of an uncompressed zip, found by offset and length, or as files."""
    root.mkdir(parents=True, exist_ok=True)
    places = [f"flac/{split}_{index}.flac" for index in range(n)]
    if zipped:
        with zipfile.ZipFile(root / "audio.zip", "w", zipfile.ZIP_STORED) as pack:
            for index, place in enumerate(places):
                pack.writestr(place, encoded(1.5, seed=index))
        places = [_slice_of(root / "audio.zip", place) for place in places]
    else:
        for index, place in enumerate(places):
            write_audio(root / place, 1.5, seed=index)
    lines = ["id\taudio\tn_frames\ttgt_text\tsrc_text\tspeaker"]
    for index, place in enumerate(places):
        texts = f"{sentence('de', index)}\t{sentence('en', index)}"
        lines.append(f"{split}_{index}\t{place}\t24000\t{texts}\tspk.{index % 2}")
    (root / f"{split}_st.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CorpusConfig(
        name=name, layout="fairseq", root=str(root), src_lang="en", tgt_lang="de", license=license
    )


def _slice_of(pack: Path, entry: str) -> str:
    """Where an entry's bytes lie: behind its local header, which is 30 bytes and two names long."""
    with zipfile.ZipFile(pack) as opened:
        info = opened.getinfo(entry)
    begin = info.header_offset
    header = pack.read_bytes()[begin : begin + 30]
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return f"{pack.name}:{begin + 30 + names}:{info.file_size}"


def write_parquet(
    root: Path,
    n: int = 5,
    *,
    split: str = "train",
    shards: int = 2,
    rows_per_group: int = 2,
    name: str = "toy",
    license: str = "cc0-1.0",
) -> CorpusConfig:
    """`data/{split}-0000i-of-0000n.parquet` with an Audio column, as `datasets` writes and the Hub shows it."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        rows = [audio_row(index, f"{split}_{index}.flac") for index in range(shard, n, shards)]
        path = root / "data" / f"{split}-{shard:05d}-of-{shards:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=rows_per_group)
    columns = {"tgt_text": "translation", "src_text": "sentence", "speaker": "client_id"}
    fields = {"name": name, "layout": "parquet", "root": str(root), "license": license, "columns": columns}
    return CorpusConfig.model_validate(fields | {"src_lang": "en", "tgt_lang": "de"})


def audio_row(index: int, path: str | None = None, data: bytes | None = None) -> dict[str, Any]:
    """A row with a sentence pair and a second and a half of audio."""
    audio = {"bytes": encoded(1.5, seed=index) if data is None else data, "path": path}
    return {
        "audio": audio,
        "sentence": sentence("en", index),
        "translation": sentence("de", index),
        "client_id": f"speaker{index % 2}",
    }
