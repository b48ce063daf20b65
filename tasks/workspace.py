"""What the stages of one run share: the store, the accelerator, engines with durable records, the clock.

A rerun in which every stage is a hit never loads the weights and starts no server: identities come from
`inspect_model` alone, and an engine is opened by its first request.

In another process (a worker of Ray or Dask) a workspace is made again from what specifies it, once per process and run:
what it reports there is heard by nobody, and the task runner tells the driver when a part ends.
"""

from __future__ import annotations

import atexit
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

from lalm.encodings import AudioEncodings
from lalm.engine import Engine
from lalm.engine_config import EngineConfig
from lalm.errors import SimulsaError
from lalm.loading import LoadedModel, ModelConfig, ModelInfo, inspect_model, load_processor
from lalm.on_demand import OnDemandEngine
from lalm.prompts import Prompt, build_prompt
from lalm.recorded import RecordedEngine
from tasks.accelerator import Accelerator
from tasks.fingerprints import FileDigests
from tasks.journal import FileJournal
from tasks.reporting import Progress, Reporter, SilentReporter, StageClock
from tasks.store import Store, fingerprint


class StoppedError(SimulsaError):
    """Work that ended early because its run was told to stop."""


class Workspace:
    """Shared by the tasks of one run, in one process; not a pydantic model, so Prefect passes it by reference.

    Pickled as its run, store, model, engine, seed and workers; unpickled as the one workspace that its process has for
    the run.
    """

    def __init__(
        self,
        *,
        store: Store,
        model: ModelConfig,
        engine: EngineConfig,
        seed: int,
        workers: int = 2,
        reporter: Reporter | None = None,
        stopping: threading.Event | None = None,
        run: str | None = None,
    ) -> None:
        self.store = store
        self.model = model
        self.seed = seed
        self._specification = (run or uuid.uuid4().hex, store, model, engine, seed, workers)
        self._workers = workers
        self.slots = threading.BoundedSemaphore(workers)
        self.reporter: Reporter = reporter or SilentReporter()
        self.stopping = stopping or threading.Event()
        self._stopped = threading.Event()
        self.clock = StageClock()
        self.digests = FileDigests(store.root / "fingerprints.jsonl")
        self.accelerator = Accelerator(engine, model, store.root / "logs")
        self.model_lock = threading.RLock()
        self._engines: dict[str, RecordedEngine] = {}
        self._journals: dict[str, FileJournal] = {}
        self._parts: dict[str, int] = {}
        self._local = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_this_process, self._specification

    @cached_property
    def info(self) -> ModelInfo:
        """What is known of the model without loading its weights; raises ModelError before any work."""
        return inspect_model(self.model)

    @cached_property
    def identity(self) -> dict[str, str]:
        """The engine's identity, as it enters keys; equal to the running engine's own."""
        return self.accelerator.identity(self.info)

    def prompt(self, src_lang: str, tgt_lang: str) -> Prompt:
        """The model's own chat prompt for this language pair, as token ids."""
        return build_prompt(self._processor, self.model, src_lang, tgt_lang)

    @cached_property
    def _processor(self) -> Any:
        return load_processor(self.info, self.model)

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, without its weights."""
        return self._processor.tokenizer

    @property
    def encodings(self) -> AudioEncodings:
        """Audio encodings of the weights in this process, shared by all stages."""
        return self.accelerator.encodings

    @property
    def loaded(self) -> LoadedModel:
        """The model with its weights in this process, loaded at first use."""
        with self.model_lock:
            return self.accelerator.weights()

    @contextmanager
    def asking(self, scope: str) -> Iterator[RecordedEngine]:
        """The engine with the durable records of `scope` (`generate`, `evaluate`); one asker at a time unless it is
        one that batches what several ask.

        Afterwards other machines can read the records, where the store is theirs too.
        """
        engine = self.engine(scope)
        with nullcontext() if self.accelerator.is_shared else self.model_lock:
            yield engine
        if self.store.bucket is not None:
            self._journals[scope].close()

    def engine(self, scope: str) -> RecordedEngine:
        """The recorded engine of `scope`, made at first use and opened by its first request."""
        with self.model_lock:
            if scope not in self._engines:
                place = f"records/{scope}/{fingerprint(self.identity)[:16]}"
                self._journals[scope] = FileJournal(self.store.root / place, self.store.bucket, place)
                self._engines[scope] = RecordedEngine(self._on_demand, self._journals[scope])
            return self._engines[scope]

    @cached_property
    def _on_demand(self) -> OnDemandEngine:
        return OnDemandEngine(
            self._open_engine, identity=self.identity, window_samples=self.info.window_samples
        )

    def _open_engine(self) -> Engine:
        """Open the engine; the part that waits for it shows the seconds it waits."""
        stage, part = self._local.part  # of this thread: servers are started by others

        def waiting(seconds: float) -> None:
            self.go_on()
            self.reporter.waiting(stage, part, f"starting the engine, {seconds:.0f} s")

        return self.accelerator.engine(self.info, self._processor, waiting)

    def begin(self, stage: str) -> str:
        """Announce the next part of a stage and return its label; one thread works on one part."""
        with self.model_lock:
            number = self._parts[stage] = self._parts.get(stage, 0) + 1
        self._local.part = (stage, str(number))
        self.reporter.started(stage, str(number))
        return str(number)

    def progress(self) -> Progress:
        """A progress callback for the part that this thread began; it raises StoppedError once the run is to stop."""
        stage, part = self._local.part

        def advance(done: int, total: int) -> None:
            self.go_on()
            self.reporter.advanced(stage, part, done, total)

        return advance

    def go_on(self) -> None:
        """Raise StoppedError once the run is to stop; asked by whatever waits or takes steps."""
        if self.stopping.is_set() or self._stopped.is_set():
            raise StoppedError("the run was told to stop; the same command continues from what is finished")

    def stop(self) -> None:
        """Let the work of this run alone end at its next step; `stopping` may be shared with other runs."""
        self._stopped.set()

    def requests(self) -> dict[str, int]:
        """How many model requests were issued and how many were read back from records."""
        engines = self._engines.values()
        return {"issued": sum(e.issued for e in engines), "replayed": sum(e.replayed for e in engines)}

    def close(self) -> None:
        """Make every record durable, stop what was started, release the model."""
        for engine in self._engines.values():
            engine.close()
        for journal in self._journals.values():
            journal.close()
        self.accelerator.close()

    def close_if_idle(self) -> bool:
        """Close, and say so, unless a part is under way."""
        taken = [slot for slot in range(self._workers) if self.slots.acquire(blocking=False)]
        idle = len(taken) == self._workers
        try:
            if idle:
                self.close()
        finally:
            for _ in taken:
                self.slots.release()
        return idle


_MADE_HERE: dict[str, Workspace] = {}
_MAKING = threading.Lock()


def _of_this_process(
    run: str, store: Store, model: ModelConfig, engine: EngineConfig, seed: int, workers: int
) -> Workspace:
    """The workspace of this process for this run, so that its model is loaded once.

    A worker outlives runs: those of earlier ones are closed first, for their files may have changed since and their
    models hold memory. One that is still at work is left to the next run, or to the end of the process.
    """
    with _MAKING:
        if run not in _MADE_HERE:
            for earlier in [name for name, made in _MADE_HERE.items() if made.close_if_idle()]:
                del _MADE_HERE[earlier]
            _MADE_HERE[run] = Workspace(
                store=store, model=model, engine=engine, seed=seed, workers=workers, run=run
            )
        return _MADE_HERE[run]


@atexit.register
def _close_all() -> None:
    for made in _MADE_HERE.values():
        made.close()
