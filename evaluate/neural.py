"""Translation quality by COMET models: per utterance and as their mean, beside what could not be scored.

A failed or missing utterance counts as empty and gets what the model gives an empty text. An utterance whose source
text is not known gets no score: all COMET models read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augment.schema import Utterance
from evaluate.logs.entry import Log
from evaluate.logs.findings import LogError
from evaluate.logs.score import LogScores
from evaluate.resegment import Segment as Stretch
from evaluate.resegment import by_recording
from evaluate.trace import StreamTrace
from lalm.comet import CometScorer, Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """What a system wrote for one utterance or segment, its source text if known, and its reference."""

    id: str
    src: str | None
    mt: str
    ref: str | None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralReport:
    """One model's scores on its own scale, higher is better; `mean` is over the utterances with a source text."""

    model: str
    mean: float | None
    scores: Mapping[str, float]
    n_empty: int
    failed: Mapping[str, str]
    without_source: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, `utterances` by id."""
        return {
            "model": self.model, "mean": self.mean, "n": len(self.scores), "n_empty": self.n_empty,
            "failed": dict(self.failed), "without_source": list(self.without_source),
            "utterances": dict(self.scores),
        }  # fmt: skip


def report_neural(
    translations: Sequence[Translation],
    scorer: CometScorer,
    progress: Callable[[int, int], None] | None = None,
) -> NeuralReport:
    """Score translations with distinct ids; models that use no reference never see one."""
    known = {t.id: Segment(src=t.src, mt=t.mt, ref=t.ref) for t in translations if t.src}
    scores = dict(zip(known, scorer.score(list(known.values()), progress), strict=True))
    return NeuralReport(
        model=scorer.checkpoint.label,
        mean=sum(scores.values()) / len(scores) if scores else None,
        scores=scores,
        n_empty=sum(not t.mt.strip() for t in translations),
        failed={t.id: t.failure for t in translations if t.failure is not None},
        without_source=tuple(t.id for t in translations if not t.src),
    )


def translations_of(traces: Sequence[StreamTrace], utterances: Sequence[Utterance]) -> list[Translation]:
    """The traces of one system at one point, with the corpus's own texts: COMET compares with one reference."""
    return [
        Translation(
            id=trace.id,
            src=_said(utterance.src_text),
            mt=trace.text,
            ref=utterance.tgt_text,
            failure=trace.failure,
        )
        for trace, utterance in zip(traces, utterances, strict=True)
    ]


def translations_in_log(
    log: Log,
    scored: LogScores,
    *,
    sources: Sequence[str],
    references: Sequence[str] | None,
    segments: Sequence[Stretch] | None,
) -> list[Translation]:
    """The outputs of a scored log, what is missing included; source n belongs to utterance or segment n.

    Raises LogError where there are not as many sources as that needs.
    """
    if segments is None:
        positions = [entry.position for entry in log.entries]
        needed = len(references) if references is not None else max(positions, default=-1) + 1
    else:
        place = {id(segment): number for number, segment in enumerate(segments)}
        positions = [place[id(segment)] for group in by_recording(segments).values() for segment in group]
        needed = len(segments)
    if len(sources) != needed:
        raise LogError(
            f"there are {len(sources)} source texts, and {needed} are needed: line n of the file is the source text of "
            "utterance n, or of segment n of --segments"
        )
    outputs = [row.output for row in scored.rows]
    said = [
        Translation(
            id=output.id, src=_said(sources[n]), mt=output.text, ref=output.reference,
            failure=scored.failed.get(output.id),
        )
        for n, output in zip(positions, outputs, strict=True)
    ]  # fmt: skip
    unsaid = sorted(set(range(needed)) - set(positions)) if references is not None else []
    return said + [
        Translation(id=str(n), src=_said(sources[n]), mt="", ref=references[n] if references else None)
        for n in unsaid
    ]


def _said(text: str | None) -> str | None:
    return text.strip() or None if text else None
