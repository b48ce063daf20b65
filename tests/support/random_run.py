"""A run of a few tones through a random micro LALM: every stage of a dataset in a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.config import RunConfig, parse_config
from tests.support.corpora import write_covost2
from tests.support.micro import random_micro_lalm


def random_run(home: Path, utterances: int = 6, **sections: Any) -> RunConfig:
    """The configuration of a run below `home`; its corpus and model are made, the corpus anew at every call."""
    write_covost2(home / "corpus", utterances)
    write_covost2(home / "corpus", 3, split="test")
    if not (home / "micro").exists():
        random_micro_lalm(home / "micro")
    raw: dict[str, Any] = {
        "name": "toy",
        "outputs": str(home / "outputs"),
        "model": {"path": str(home / "micro")},
        "corpus": {
            "name": "c", "layout": "covost2", "root": str(home / "corpus"), "src_lang": "en", "tgt_lang": "de",
            "license": "cc0-1.0",
        },
        "truncate": {"fraction": 1.0},
        "partial": {"max_new_tokens": 24},
        "dataset": {"n_shards": 2},
        **sections,
    }  # fmt: skip
    return parse_config(raw)
