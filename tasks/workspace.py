"""What the stages of one run share: the store, the model (loaded at the first miss), the engine, the clock.

A rerun in which every stage is a hit never loads the weights: identities come from `inspect_model` alone.
"""

from __future__ import annotations

import threading
from functools import cached_property

import torch

from lalm.encodings import AudioEncodings
from lalm.engine_config import EngineConfig
from lalm.loading import (
    LoadedModel,
    ModelConfig,
    ModelInfo,
    choose_device,
    inspect_model,
    load_model,
    load_processor,
)
from lalm.prompts import Prompt, build_prompt
from lalm.recorded import RecordedEngine
from lalm.transformers_engine import TransformersEngine, engine_identity
from tasks.fingerprints import FileDigests
from tasks.journal import FileJournal
from tasks.reporting import Progress, Reporter, SilentReporter, StageClock
from tasks.store import Store, fingerprint


class Workspace:
    """Shared by the tasks of one run, in one process; not a pydantic model, so Prefect passes it by reference."""

    def __init__(
        self,
        *,
        store: Store,
        model: ModelConfig,
        engine: EngineConfig,
        seed: int,
        workers: int = 2,
        reporter: Reporter | None = None,
    ) -> None:
        self.store = store
        self.model = model
        self.engine_config = engine
        self.seed = seed
        self.slots = threading.BoundedSemaphore(workers)
        self.reporter: Reporter = reporter or SilentReporter()
        self.clock = StageClock()
        self.digests = FileDigests(store.root / "fingerprints.jsonl")
        self.model_lock = threading.RLock()
        self.encodings = AudioEncodings()  # shared by all stages, systems and chunk sizes
        self._engines: dict[str, RecordedEngine] = {}
        self._journals: list[FileJournal] = []
        self._parts: dict[str, int] = {}
        self._local = threading.local()

    @cached_property
    def info(self) -> ModelInfo:
        """What is known of the model without loading its weights; raises ModelError before any work."""
        return inspect_model(self.model)

    @cached_property
    def identity(self) -> dict[str, str]:
        """The engine's identity, as it enters keys; equal to the running engine's own."""
        return engine_identity(self.info, getattr(torch, self.model.dtype), choose_device(self.model.device))

    def prompt(self, src_lang: str, tgt_lang: str) -> Prompt:
        """The model's own chat prompt for this language pair, as token ids."""
        return build_prompt(self._processor, self.model, src_lang, tgt_lang)

    @cached_property
    def _processor(self) -> object:
        return load_processor(self.info, self.model)

    @property
    def loaded(self) -> LoadedModel:
        """The model with its weights, loaded at first use."""
        with self.model_lock:
            return self._loaded

    @cached_property
    def _loaded(self) -> LoadedModel:
        return load_model(self.model)

    @cached_property
    def _bare_engine(self) -> TransformersEngine:
        """One for all scopes: it alone decides which adapter the model wears."""
        return TransformersEngine(
            self.loaded, batch_size=self.engine_config.batch_size, encodings=self.encodings
        )

    def engine(self, scope: str) -> RecordedEngine:
        """The engine with the durable records of `scope` (`generate`, `evaluate`), made at first use."""
        with self.model_lock:
            if scope not in self._engines:
                journal = FileJournal(self.store.root / "records" / scope / fingerprint(self.identity)[:16])
                self._journals.append(journal)
                self._engines[scope] = RecordedEngine(self._bare_engine, journal)
            return self._engines[scope]

    def begin(self, stage: str) -> str:
        """Announce the next part of a stage and return its label; one thread works on one part."""
        with self.model_lock:
            number = self._parts[stage] = self._parts.get(stage, 0) + 1
        self._local.part = (stage, str(number))
        self.reporter.started(stage, str(number))
        return str(number)

    def progress(self) -> Progress:
        """A progress callback for the part that this thread began."""
        stage, part = self._local.part
        return lambda done, total: self.reporter.advanced(stage, part, done, total)

    def requests(self) -> dict[str, int]:
        """How many model requests were issued and how many were read back from records."""
        engines = self._engines.values()
        return {"issued": sum(e.issued for e in engines), "replayed": sum(e.replayed for e in engines)}

    def close(self) -> None:
        """Release the model and make every record durable."""
        for journal in self._journals:
            journal.close()
        for engine in self._engines.values():
            engine.close()
