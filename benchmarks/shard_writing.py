"""Writing shards at scale: memory while rows stream through, and speed beside datasets.Dataset.to_parquet.

    OMP_NUM_THREADS=1 python benchmarks/shard_writing.py

Rows without audio show the cost of a row, rows with small FLACs that of bytes. Each writer gets rows that are made as
it asks for them, in a process of its own, so that neither pays for the other's memory; resident memory is read after
every tenth of the rows. `datasets` first writes an Arrow table from the same generator, and to_parquet reads that:
both times are printed, and the ratio with and without the first. Ours makes, writes and hashes in one pass and holds
one row group and the file's growing footer, some 50 kB for each group of 100 rows: flat with audio, where a shard has
few groups, and slowly growing without. --rows-per-group shows what larger groups would give.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
from cyclopts import App

from augment import shards
from augment.audio import encode_flac, from_int16
from augment.examples import EmbeddedAudio, Message, SimulExample, SourceAudio, example_features
from augment.records import to_row
from augment.schema import QualityFlags
from augment.shards import ROWS_PER_GROUP, write_shard

app = App(help=__doc__)
Writer = Literal["shards", "datasets"]
CLIPS = 64
CLIP_SAMPLES = 12_000
WORDS = [
    "wir",
    "werden",
    "morgen",
    "in",
    "Berlin",
    "die",
    "alte",
    "Brücke",
    "besuchen",
    "und",
    "danach",
    "vielleicht",
    "ins",
    "Museum",
    "gehen",
]


def rows(count: int, *, audio: bool, seen: Memory) -> Iterator[SimulExample]:
    """Generated rows; a clip is one of a few random ones, and its last bytes make every row's differ."""
    rng = np.random.default_rng(7)
    noise = rng.integers(-3000, 3000, (CLIPS, CLIP_SAMPLES)).astype(np.int16)
    clips = [encode_flac(from_int16(wave)) for wave in noise] if audio else []
    for index in range(count):
        seen.note(index, count)
        flac = clips[index % CLIPS] + index.to_bytes(8, "big") if audio else None
        yield example(index, flac)


def example(index: int, flac: bytes | None) -> SimulExample:
    """One row whose texts depend on its number."""
    id = f"common_voice_en_{index:08d}"
    text = " ".join(WORDS[(index * 7 + k) % len(WORDS)] for k in range(4 + index % 8))
    return SimulExample(
        id=id, audio=None if flac is None else EmbeddedAudio(bytes=flac, path=f"{id}.flac"),
        messages=(
            Message(role="user", content="<audio>Translate the English speech into German."),
            Message(role="assistant", content=text[: len(text) // 2]),
        ),
        src_lang="en", tgt_lang="de", src_text=None, tgt_text=text, partial_text=text[: len(text) // 2],
        method="simulsa", draft="self", rule="greedy", threshold=None, accepted_tokens=4, draft_tokens=9,
        mean_logprob=-(index % 1000) / 1000, near_tie=False, kept_ratio=(index % 997) / 997,
        duration_s=CLIP_SAMPLES / 16_000, full_duration_s=3.0, alpha=1.0, beta=3.0, seed=7, model="micro-lalm",
        model_revision="0123abcd", prompt_hash="p" * 8, config_hash="c" * 8, license="cc0-1.0",
        audio_ref=SourceAudio(corpus="toy", id=id, start_sample=0, num_samples=CLIP_SAMPLES, sha256=f"{index:064x}"),
        qc=QualityFlags(length_ratio=0.5),
    )  # fmt: skip


class Memory:
    """Resident memory of this process in MB, after each tenth of the rows."""

    def __init__(self) -> None:
        self.mb: list[int] = []

    def note(self, index: int, count: int) -> None:
        """Read it when `index` begins another tenth."""
        if index % max(1, count // 10) == 0:
            self.mb.append(round(psutil.Process().memory_info().rss / 1e6))


def with_shards(root: Path, count: int, *, audio: bool) -> dict[str, Any]:
    """Seconds and memory of `write_shard`, which also computes the sha256."""
    seen, start = Memory(), time.perf_counter()
    shard = write_shard(root, "shard.parquet", rows(count, audio=audio, seen=seen))
    return {"write_s": time.perf_counter() - start, "prepare_s": 0.0, "mb": seen.mb, "bytes": shard.num_bytes}


def with_datasets(root: Path, count: int, *, audio: bool) -> dict[str, Any]:
    """Seconds and memory of `to_parquet`, and of the Arrow table that it needs first.

    The audio column is the struct that it is on disk, for `datasets` encodes its Audio type only with torchcodec.
    """
    import datasets

    described = example_features()
    described["audio"] = {"bytes": _value("binary"), "path": _value("string")}
    seen, start = Memory(), time.perf_counter()
    table = datasets.Dataset.from_generator(
        lambda: map(to_row, rows(count, audio=audio, seen=seen)),
        features=datasets.Features.from_dict(described),
        cache_dir=str(root),
        fingerprint="shard_writing",  # or it hashes the generator by pickling all that it refers to
    )
    prepared = time.perf_counter()
    size = table.to_parquet(root / "table.parquet")
    end = time.perf_counter()
    seen.mb.append(round(psutil.Process().memory_info().rss / 1e6))
    written = (root / "table.parquet").stat().st_size
    assert size
    return {"write_s": end - prepared, "prepare_s": prepared - start, "mb": seen.mb, "bytes": written}


def _value(dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "_type": "Value"}


@app.command
def measure(writer: Writer, count: int, *, audio: bool = False, rows_per_group: int = ROWS_PER_GROUP) -> None:
    """One measurement in this process, printed as JSON."""
    shards.ROWS_PER_GROUP = rows_per_group
    with tempfile.TemporaryDirectory() as root:
        run = with_shards if writer == "shards" else with_datasets
        print(json.dumps(run(Path(root), count, audio=audio)))


def _in_a_process(writer: Writer, count: int, *, audio: bool, rows_per_group: int) -> dict[str, Any]:
    flags = ["--audio" if audio else "--no-audio", "--rows-per-group", str(rows_per_group)]
    command = [sys.executable, __file__, "measure", writer, str(count), *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@app.default
def main(*, text_rows: int = 100_000, audio_rows: int = 5_000, rows_per_group: int = ROWS_PER_GROUP) -> None:
    """Print rows per second, memory and ratios of both writers, first without audio and then with."""
    for count, audio in ((text_rows, False), (audio_rows, True)):
        print(f"\n{count} rows {'with' if audio else 'without'} audio")
        ours, theirs = (
            _in_a_process(writer, count, audio=audio, rows_per_group=rows_per_group)
            for writer in ("shards", "datasets")
        )
        for name, result in (("write_shard", ours), ("to_parquet", theirs)):
            whole_s = result["write_s"] + result["prepare_s"]
            print(
                f"{name:>12}: {result['write_s']:.1f} s to write, {result['prepare_s']:.1f} s before, "
                f"{count / whole_s:.0f} rows/s in all, {result['bytes'] / 1e6:.1f} MB on disk; "
                f"memory in MB after each tenth: {result['mb']}"
            )
        whole = (theirs["write_s"] + theirs["prepare_s"]) / ours["write_s"]
        print(
            f"       ratio: rows to Parquet {whole:.2f} times as fast as datasets in all, "
            f"{theirs['write_s'] / ours['write_s']:.2f} times its to_parquet alone; its memory "
            f"grew by {max(ours['mb']) - ours['mb'][1]} MB after the first tenth, datasets' by "
            f"{max(theirs['mb']) - theirs['mb'][1]} MB"
        )


if __name__ == "__main__":
    app()
