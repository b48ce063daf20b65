"""Scores by a COMET model, read from a journal where they are known; only the rest starts the worker.

A score depends on the model and the texts alone, so a record serves any run that asks for the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from types import TracebackType

from lalm.comet.checkpoint import Checkpoint, open_checkpoint
from lalm.comet.config import CometConfig, CometError
from lalm.comet.process import WorkerProcess
from lalm.engine import Journal

RECORD_VERSION = 1
BATCHES_PER_REQUEST = 8
"""Progress and records come in steps of so many batches; COMET sorts by length within them."""
DECIMALS = 4
"""Further ones depend on the machine and on the batch."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A source text, its machine translation, and a reference translation where there is one."""

    src: str
    mt: str
    ref: str | None = None


class CometScorer:
    """Scores segments; the worker starts with the first one that the journal does not know. Threads may share it.

    `issued` counts segments that the worker was asked, `replayed` those answered from the journal. Raises
    CometError or ModelError at once where the checkpoint cannot be used.
    """

    def __init__(self, config: CometConfig, journal: Journal | None = None) -> None:
        self.checkpoint: Checkpoint = open_checkpoint(config)
        self._config = config
        self._journal = journal
        self._worker: WorkerProcess | None = None
        self._lock = threading.Lock()
        self.issued = 0
        self.replayed = 0

    def __enter__(self) -> CometScorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def identity(self) -> dict[str, str]:
        """What may change a score."""
        return self.checkpoint.identity

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker, or None while there is none."""
        return self._worker.pid if self._worker else None

    def score(self, segments: Sequence[Segment], progress: Progress | None = None) -> list[float]:
        """One score per segment, most models' on 0..1, rounded to four decimals.

        References are read only by models that use one; one that needs them raises CometError without.
        """
        asked = [self._readable(segment) for segment in segments]
        keys = [self._key(segment) for segment in asked]
        with self._lock:
            known = {key: score for key in keys if (score := self._recorded(key)) is not None}
            missing = {key: s for key, s in zip(keys, asked, strict=True) if key not in known}
            self.replayed += len(known)
            for group in _groups(missing, self._config.batch_size * BATCHES_PER_REQUEST):
                known |= dict(zip(group, self._ask(list(group.values())), strict=True))
                self._record({key: known[key] for key in group})
                if progress:
                    progress(sum(key in known for key in keys), len(segments))
        return [known[key] for key in keys]

    def close(self) -> None:
        """End the worker; a later question starts another."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _readable(self, segment: Segment) -> Segment:
        """The segment as this model reads it."""
        if self.checkpoint.reference == "unused":
            return Segment(src=segment.src, mt=segment.mt)
        self.checkpoint.check_reference(segment.ref is not None)
        return segment

    def _ask(self, segments: list[Segment]) -> list[float]:
        try:
            if self._worker is None:
                self._worker = WorkerProcess(self._config, self.checkpoint.weights())
            scores = self._worker.ask({"segments": [_to_json(segment) for segment in segments]})["scores"]
        except BaseException:
            self._stop()
            raise
        for segment, score in zip(segments, scores, strict=True):
            if not math.isfinite(score):
                raise CometError(
                    f"{self.checkpoint.name} gave {score} for {segment}: its weights are damaged"
                )
        self.issued += len(segments)
        return [round(score, DECIMALS) for score in scores]

    def _recorded(self, key: str) -> float | None:
        record = self._journal.get(key) if self._journal else None
        return None if record is None else float(str(record["score"]))

    def _record(self, scores: dict[str, float]) -> None:
        if self._journal is None:
            return
        for key, score in scores.items():
            self._journal.put(key, {"score": score})
        self._journal.flush()

    def _key(self, segment: Segment) -> str:
        content = {"version": RECORD_VERSION, "model": self.identity, "segment": _to_json(segment)}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _to_json(segment: Segment) -> dict[str, str]:
    """COMET's names; a batch must agree on whether it has references."""
    values = {"src": segment.src, "mt": segment.mt}
    return values if segment.ref is None else values | {"ref": segment.ref}


def _groups(missing: dict[str, Segment], size: int) -> Iterator[dict[str, Segment]]:
    """At most `size` at a time, with and without reference apart."""
    for has_reference in (False, True):
        items = iter([(k, s) for k, s in missing.items() if (s.ref is not None) == has_reference])
        while group := dict(islice(items, size)):
            yield group
