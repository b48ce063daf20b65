"""The scores of a log, whoever wrote it: per utterance or segment, and of the corpus.

Nothing is left out in silence: what is empty, failed or missing is counted and named beside the means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluate.latency.scores import Scores, penalised_scores
from evaluate.logs.entry import Log, LogEntry
from evaluate.logs.findings import LogError
from evaluate.logs.toolkits import Compat, Row, Toolkit, choose_toolkit
from evaluate.quality import report_edit_rate, report_quality
from evaluate.resegment import Segment, by_recording
from evaluate.trace import StreamTrace
from evaluate.units import Unit, split_units
from lalm.languages import base_language


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScores:
    """Latency of every row and of the corpus, quality where there are references, and what is missing.

    `penalised` are the means in which an omitted output costs |X|. `quality` has BLEU, chrF, TER (absent where
    it has no meaning) and their signatures.
    """

    unit: Unit
    compat: Compat | None
    corpus: Scores
    penalised: Scores
    quality: Mapping[str, float | str] | None
    rows: tuple[Row, ...]
    empty: tuple[str, ...]
    failed: Mapping[str, str]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a value that does not exist becomes null. Every score stands beside its unit."""
        return {
            "unit": self.unit,
            "time_unit": "s" if self.compat == "simulstream" else "ms",
            "compat": self.compat,
            "corpus": {
                "unit": self.unit,
                "n": len(self.rows),
                "n_empty": len(self.empty),
                "n_failed": len(self.failed),
                **_finite(self.corpus),
            },
            "penalised": {"unit": self.unit, **_finite(self.penalised)},
            "quality": None if self.quality is None else dict(self.quality),
            "utterances": [{"id": r.output.id, "unit": self.unit, **_finite(r.scores)} for r in self.rows],
            "empty": list(self.empty),
            "failed": dict(self.failed),
            "missing": list(self.missing),
        }


def score_log(
    log: Log,
    *,
    references: Sequence[str] | None,
    segments: Sequence[Segment] | None,
    unit: Unit,
    lang: str | None,
    compat: Compat | None,
) -> LogScores:
    """Score a log against a reference per utterance, against the segments of its recordings, or against none.

    Without any reference the length of the output stands for that of the reference, and there is no quality.
    Raises LogError where log and references do not belong together.
    """
    _check_unit(log, unit)
    toolkit = choose_toolkit(compat, log.format)
    if segments is None:
        texts = _references(log, references)
        rows = [toolkit.utterance(entry.trace, texts.get(entry.position), unit) for entry in log.entries]
        scored = {entry.position for entry in log.entries}
        missing = {str(position): text for position, text in texts.items() if position not in scored}
    else:
        rows, missing = _recordings(log, segments, unit, toolkit), {}
    return _result(log, rows, missing, toolkit, unit=unit, lang=lang, compat=compat, segments=segments)


def _result(
    log: Log,
    rows: Sequence[Row],
    missing: Mapping[str, str],
    toolkit: Toolkit,
    *,
    unit: Unit,
    lang: str | None,
    compat: Compat | None,
    segments: Sequence[Segment] | None,
) -> LogScores:
    traces = [entry.trace for entry in log.entries]
    outputs = [row.output for row in rows]
    said = [(output.text, output.reference) for output in outputs]
    unsaid = [("", reference) for reference in missing.values()]
    unheard = sorted(_unheard(log, segments or ()))
    return LogScores(
        unit=unit,
        compat=compat,
        corpus=toolkit.corpus(traces, rows, unit),
        penalised={} if compat else penalised_scores(outputs, [row.scores for row in rows]),
        quality=_quality([*said, *unsaid], unit, lang),
        rows=tuple(rows),
        empty=tuple(output.id for output in outputs if not output.delays_ms),
        failed={trace.id: trace.failure for trace in traces if trace.failure is not None},
        missing=(*missing, *unheard),
    )


def _references(log: Log, references: Sequence[str] | None) -> dict[int, str]:
    """The reference of every position that has one, from the file or from the log itself."""
    if references is None:
        return {entry.position: entry.reference for entry in log.entries if entry.reference is not None}
    beyond = next((entry for entry in log.entries if entry.position >= len(references)), None)
    if beyond is not None or (log.format != "simuleval" and len(references) != len(log.entries)):
        needed = max((entry.position for entry in log.entries), default=-1) + 1
        raise LogError(
            f"there are {len(references)} references for a log that needs {needed}: line n of the file is the "
            "reference of utterance n. Segments of recordings also need --segments"
        )
    return dict(enumerate(references))


def _recordings(log: Log, segments: Sequence[Segment], unit: Unit, toolkit: Toolkit) -> list[Row]:
    """The rows of all segments; a recording that the log lacks has said nothing."""
    grouped = by_recording(segments)
    entries: dict[str, LogEntry] = {}
    for entry in log.entries:
        name = entry.recording
        if name not in grouped or name in entries:
            problem = (
                "no segments" if name not in grouped else f"already an output on line {entries[name].line}"
            )
            raise LogError(
                f"line {entry.line}: the recording {name!r} has {problem}; a segment names its recording by the "
                f"stem of its wav, and these are known: {sorted(grouped)[:5]}"
            )
        entries[name] = entry
    rows: list[Row] = []
    for name, group in grouped.items():
        trace = entries[name].trace if name in entries else _silent(name, group)
        rows += toolkit.recording(trace, group, unit)
    return rows


def _unheard(log: Log, segments: Sequence[Segment]) -> set[str]:
    return {segment.recording for segment in segments} - {entry.recording for entry in log.entries}


def _silent(name: str, segments: Sequence[Segment]) -> StreamTrace:
    end_ms = max(segment.end_ms for segment in segments)
    return StreamTrace(id=name, chunk_ms=None, source_ms=end_ms, text="", emissions=(), steps=())


def _quality(
    pairs: Sequence[tuple[str, str | None]], unit: Unit, lang: str | None
) -> dict[str, float | str] | None:
    """BLEU, chrF and TER, or None where a reference or the language of its characters is not known."""
    references = [[reference] for _, reference in pairs if reference is not None]
    if not pairs or len(references) < len(pairs) or (unit == "char" and lang is None):
        return None
    hypotheses = [hypothesis for hypothesis, _ in pairs]
    language = lang or "und"
    scores = report_quality(hypotheses, references, lang=language)
    quality: dict[str, float | str] = {
        "BLEU": scores.bleu,
        "chrF": scores.chrf,
        "BLEU_signature": scores.bleu_signature,
        "chrF_signature": scores.chrf_signature,
    }
    if base_language(language) != "th":
        edits = report_edit_rate(hypotheses, references, lang=language)
        quality |= {"TER": edits.ter, "TER_signature": edits.signature}
    return quality


def _check_unit(log: Log, unit: Unit) -> None:
    """Refuse a unit that the log did not count."""
    for entry in log.entries:
        counted, units = len(entry.trace.emissions), len(split_units(entry.trace.text, unit))
        if counted != units:
            other = "char" if unit == "word" else "word"
            raise LogError(
                f"line {entry.line}: utterance {entry.trace.id} has {counted} delays, but its text has {units} "
                f"units ({unit}); give --unit {other}"
            )


def _finite(scores: Scores) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}
