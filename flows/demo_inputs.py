"""The embedded default: synthesise the toy corpus, point the configuration at it and at the micro LALM.

Only flows know demo/; every stage after this sees an ordinary corpus and an ordinary model directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from demo.corpus import build_corpus
from demo.model import MODEL_DIR
from demo.truth import Truth, load_truth
from flows.config import ConfigError, RunConfig
from flows.console import STDERR

MICRO_LALM = "micro-lalm"


@dataclass(frozen=True)
class DemoInputs:
    """The toy corpus on disk and its truth: all valid translations and when each word may be said."""

    root: Path

    @cached_property
    def truth(self) -> dict[str, Truth]:
        return load_truth(self.root)


def resolve_model(config: RunConfig) -> RunConfig:
    """Give `model.path: micro-lalm` its directory; every other path stays as it is."""
    if config.model.path != MICRO_LALM:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"path": str(MODEL_DIR)})})


def prepare_demo(config: RunConfig, *, build: bool = True) -> tuple[RunConfig, DemoInputs | None]:
    """Resolve the micro LALM, and build the toy corpus when the configuration asks for one.

    With `build=False` the corpus must be there: ConfigError says how to make it.
    """
    config = resolve_model(config)
    if config.demo is None:
        return config, None
    if not build:
        if not (Path(config.corpus.root) / "corpus.json").is_file():
            raise ConfigError(f"there is no toy corpus in {config.corpus.root}: `simulsa run` makes it")
        return config, DemoInputs(Path(config.corpus.root))
    STDERR.print(f"  toy corpus: {config.demo.num_train} spoken sentences (kept in {config.corpus.root})")
    root = build_corpus(
        Path(config.corpus.root), num_train=config.demo.num_train, num_dev=config.demo.num_dev,
        num_test=config.demo.num_test, seed=config.demo.seed, workers=config.workers,
        progress=STDERR.is_terminal,
    )  # fmt: skip
    return config, DemoInputs(root)
