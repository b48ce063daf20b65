"""What sharing audio encodings saves: three chunk sizes streamed with one cache against a fresh cache each.

    python benchmarks/encode_once.py --utterances 24

Every audio prefix at a multiple of the smallest chunk serves all chunk sizes and all systems whose adapter leaves the
encoder alone. Prediction, from encoder calls alone: 320, 640 and 1280 ms need 1 + 1/2 + 1/4 as many prefixes, so a
shared cache encodes 1/1.75 of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App

from augment.audio import pcm_digest
from augment.corpora import open_corpus
from augment.schema import Utterance
from demo.corpus import build_corpus
from evaluate.config import EvaluateConfig
from evaluate.session import SpokenUtterance
from evaluate.stream import simulate
from flows.config import load_config
from flows.demo_inputs import resolve_model
from lalm.encodings import AudioEncodings
from lalm.loading import load_model
from lalm.prompts import build_prompt
from lalm.transformers_engine import TransformersEngine

app = App(help=__doc__)
CHUNKS_MS = (320, 640, 1280)


@app.default
def main(*, utterances: int = 24, corpus: Path = Path("outputs/bench-corpus")) -> None:
    """Time both ways side by side, twice, and print seconds, encoder calls and the ratio."""
    run = resolve_model(load_config("demo"))
    build_corpus(corpus, num_train=10, num_dev=utterances, num_test=10, progress=False)
    read = open_corpus(run.corpus.model_copy(update={"root": str(corpus)}), "dev")
    spoken = [
        SpokenUtterance(
            id=u.id, waveform=(wave := read.load_audio(u)), sha=pcm_digest(wave), references=(u.tgt_text,)
        )
        for u in read
        if isinstance(u, Utterance)
    ]
    loaded = load_model(run.model)
    prompt = build_prompt(loaded, run.model, "en", "de")
    config = EvaluateConfig(chunk_ms=CHUNKS_MS)

    def stream(caches: Iterator[AudioEncodings]) -> tuple[float, int]:
        used, started_s = set(), time.perf_counter()
        for chunk_ms, cache in zip(CHUNKS_MS, caches, strict=False):
            used.add(cache)
            simulate(
                spoken, engine=TransformersEngine(loaded, encodings=cache), prompt=prompt, tokenizer=loaded.tokenizer,
                chunk_ms=chunk_ms, config=config, adapter=None, tgt_lang="de",
            )  # fmt: skip
        return time.perf_counter() - started_s, sum(cache.encoded for cache in used)

    for _ in range(2):
        apart_s, apart = stream(AudioEncodings() for _ in CHUNKS_MS)
        one = AudioEncodings()
        shared_s, shared = stream(one for _ in CHUNKS_MS)
        print(
            f"{len(spoken)} utterances, chunks {CHUNKS_MS} ms: apart {apart_s:.1f} s ({apart} encoded), "
            f"shared {shared_s:.1f} s ({shared} encoded); ratio {apart_s / shared_s:.2f} in time, "
            f"{apart / shared:.2f} in encoder calls"
        )


if __name__ == "__main__":
    app()
