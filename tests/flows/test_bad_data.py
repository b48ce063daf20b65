"""Every kind of bad input in one corpus: each is a counted rejection with its reason, and the good ones yield rows."""

from pathlib import Path

import numpy as np
import soundfile

from augment.assemble import DatasetConfig
from augment.corpora import CorpusConfig, open_corpus
from augment.partial import PartialConfig
from augment.records import read_records
from augment.schema import Rejection
from augment.truncate import TruncateConfig
from lalm.engine_config import EngineConfig
from lalm.loading import ModelConfig
from tasks.dataset import (
    assemble_dataset_shard,
    generate_shard,
    join_shards,
    select_utterances,
    truncate_shard,
)
from tasks.store import Store
from tasks.workspace import Workspace
from tests.support.corpora import tone
from tests.support.micro import random_micro_lalm
from tests.support.stages import PROVENANCE, call

WINDOW_S = 4
EXPECTED = {
    "missing": "truncate.audio_missing",
    "empty": "truncate.audio_empty_file",
    "notaudio": "truncate.audio_undecodable",
    "nosamples": "truncate.audio_no_samples",
    "nan": "truncate.audio_non_finite",
    "short": "truncate.too_short_to_truncate",
    "long": "generate.exceeds_model_window",
    "silentref": "read.empty_reference",
}


def write_bad_corpus(root: Path) -> CorpusConfig:
    """One line of each kind, behind a BOM and with CRLF line ends."""
    clips = root / "clips"
    clips.mkdir(parents=True)
    soundfile.write(clips / "good.wav", tone(2.0, seed=1), 16_000)
    soundfile.write(clips / "stereo.wav", tone(2.0, seed=2, rate_hz=48_000, channels=2), 48_000)
    soundfile.write(clips / "short.wav", tone(0.4, seed=3), 16_000)
    soundfile.write(clips / "long.wav", tone(WINDOW_S + 1.0, seed=4), 16_000)
    soundfile.write(clips / "silentref.wav", tone(2.0, seed=5), 16_000)
    soundfile.write(clips / "nosamples.wav", np.zeros(0, dtype=np.float32), 16_000)
    soundfile.write(clips / "nan.wav", np.full(32_000, np.nan, dtype=np.float32), 16_000, subtype="FLOAT")
    (clips / "empty.wav").write_bytes(b"")
    (clips / "notaudio.wav").write_bytes(b"<html>not found</html>" * 40)
    names = ["good", "stereo", "missing", "empty", "notaudio", "nosamples", "nan", "short", "long"]
    lines = [f"{name}.wav\tsome words here\tein paar Wörter hier\tspeaker" for name in names]
    lines += [
        "silentref.wav\tsome words\t\tspeaker",
        "good.wav\tthe same id again\tnoch einmal\tspeaker",
        "../../etc/passwd\tescape\tAusbruch\tspeaker",
        "a line with no tabs at all",
    ]
    header = "path\tsentence\ttranslation\tclient_id"
    text = "\r\n".join([header, *lines]) + "\r\n"
    (root / "covost_v2.en_de.train.tsv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    return CorpusConfig(
        name="bad", layout="covost2", root=str(root), src_lang="en", tgt_lang="de", license="cc0-1.0"
    )


def test_each_bad_input_is_counted_with_its_reason_and_the_good_ones_yield_rows(tmp_path: Path) -> None:
    corpus = open_corpus(write_bad_corpus(tmp_path / "corpus"), "train")
    model = random_micro_lalm(tmp_path / "micro", window_s=WINDOW_S)
    ws = Workspace(
        store=Store(tmp_path / "store"), model=ModelConfig(path=str(model)), engine=EngineConfig(), seed=7
    )
    truncate, dataset = TruncateConfig(fraction=1.0), DatasetConfig(n_shards=1)
    selection = call(select_utterances, ws, corpus, "train", truncate, 1)
    cut = call(truncate_shard, ws, corpus, selection, 0, truncate)
    target = call(generate_shard, ws, cut, PartialConfig(max_new_tokens=8), ws.prompt("en", "de"))
    shard = call(assemble_dataset_shard, ws, cut, target, 0, PROVENANCE, dataset)
    joined = call(join_shards, ws, selection, [shard], PROVENANCE, 1, dataset)
    ws.close()
    assert joined.info | {"digest": ""} == joined.info | {"digest": ""} | {
        "input": 13,
        "rows": 2,
        "not_selected": 0,
    }
    rejected = read_records(joined.path("rejected.parquet"), Rejection)
    found = {r.id: f"{r.stage}.{r.reason}" for r in rejected}
    assert {id: found.get(id) for id in EXPECTED} == EXPECTED
    others = sorted(f"{r.stage}.{r.reason}" for r in rejected if r.id not in EXPECTED)
    assert others == ["read.audio_outside_root", "read.duplicate_id", "read.malformed_line"]
    assert all(r.detail for r in rejected)
