"""Who owns the accelerator: the weights in this process, or a vLLM engine; never both.

Whoever is asked for first waits until the other has given its memory back. Training needs the weights; the
`transformers` engine is the weights; the vLLM kinds are engines of their own, started and stopped as they are needed.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lalm.attention import AttentiveEngine
from lalm.encodings import AudioEncodings
from lalm.engine import Engine
from lalm.engine_config import EngineConfig
from lalm.errors import EngineError
from lalm.loading import LoadedModel, ModelConfig, ModelInfo, choose_device, load_model
from lalm.transformers_engine import engine_identity
from lalm.vllm.opening import open_vllm, vllm_identity

Waiting = Callable[[float], None]
SPEED_SETTINGS = (
    "kind", "max_in_flight", "replicas", "gpu_memory_utilization", "tensor_parallel_size", "enforce_eager",
    "max_model_len",
)  # fmt: skip


class Accelerator:
    """One model, one device, one owner; safe to ask from several threads."""

    def __init__(self, engine: EngineConfig, model: ModelConfig, logs: Path) -> None:
        self.engine_config = engine
        self._model_config = model
        self._logs = logs
        self._lock = threading.RLock()
        self._loaded: LoadedModel | None = None
        self._engine: Engine | None = None
        self._failure: EngineError | None = None
        self.encodings = AudioEncodings()  # shared by all stages, systems and chunk sizes

    @property
    def is_shared(self) -> bool:
        """Whether several threads may ask the engine at once, and should: it batches what they ask."""
        return self.engine_config.kind != "transformers"

    @property
    def holds_gpu_elsewhere(self) -> bool:
        """Whether a vLLM engine of ours is open; it gives its memory back before weights are loaded here."""
        return self.is_shared and self._engine is not None and not self.engine_config.urls

    @property
    def group_size(self) -> int:
        """Utterances to have under way at once so that no replica waits for the next ones to be prepared."""
        slots = self.engine_config.max_in_flight * max(
            self.engine_config.replicas, len(self.engine_config.urls)
        )
        return 4 * slots if self.is_shared else 64

    def identity(self, info: ModelInfo) -> dict[str, str]:
        """The engine's identity, known before it is opened."""
        if self.is_shared:
            return vllm_identity(self.engine_config, self._model_config, info)
        dtype: torch.dtype = getattr(torch, self._model_config.dtype)
        return engine_identity(info, dtype, choose_device(self._model_config.device))

    def weights(self) -> LoadedModel:
        """The model in this process, loaded at first use; a vLLM engine is closed first."""
        with self._lock:
            if self.is_shared:
                self._close_engine()
            if self._loaded is None:
                self._loaded = load_model(self._model_config)
            return self._loaded

    def engine(self, info: ModelInfo, processor: Any, waiting: Waiting) -> Engine:
        """The configured engine, opened at first use; the weights are dropped first where it has its own.

        `waiting` is told the seconds that a start takes. What could not be opened once is not tried again: each
        shard would wait for it.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._engine is None:
                try:
                    self._engine = self._open(info, processor, waiting)
                except EngineError as error:
                    self._failure = error
                    raise
            return self._engine

    def fresh_engine(self, info: ModelInfo, processor: Any, waiting: Waiting) -> Engine:
        """An engine that no stage has asked yet: vLLM recognises audio and prompts that it computed before.

        Raises EngineError for servers that are not ours: what they know, and who else asks them, is not known here.
        """
        if self.engine_config.urls:
            raise EngineError(
                f"the servers {', '.join(self.engine_config.urls)} may know what they are asked, and may be busy for "
                "others, so nothing can be timed on them: leave engine.urls empty, or evaluate.timed"
            )
        with self._lock:
            if self.is_shared:
                self._close_engine()
            return self.engine(info, processor, waiting)

    @property
    def speed_settings(self) -> dict[str, Any]:
        """Settings of the engine that change no result but how long it takes."""
        return (
            self.engine_config.model_dump(mode="json", include=set(SPEED_SETTINGS)) if self.is_shared else {}
        )

    def close(self) -> None:
        """End what was started and give every memory back; safe to call twice."""
        with self._lock:
            self._close_engine()
            self._drop_weights()

    def _open(self, info: ModelInfo, processor: Any, waiting: Waiting) -> Engine:
        config = self.engine_config
        if not self.is_shared:
            return AttentiveEngine(self.weights(), batch_size=config.batch_size, encodings=self.encodings)
        self._drop_weights()
        return open_vllm(config, self._model_config, info, processor, logs=self._logs, waiting=waiting)

    def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _drop_weights(self) -> None:
        self._loaded = None
        self.encodings = AudioEncodings()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
