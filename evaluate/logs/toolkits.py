"""How each toolkit scores, ours first: its clock, its segments, its columns.

Every toolkit turns a trace into rows, one per utterance or per segment of a recording, and rows into a corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from evaluate.latency.clocks import Clock, queue_clock
from evaluate.latency.compat.clocks import omnisteval_clock, simuleval_clock, simulstream_clock
from evaluate.latency.compat.omnisteval import omnisteval_long_scores, omnisteval_scores
from evaluate.latency.compat.simuleval import simuleval_scores
from evaluate.latency.compat.simulstream import simulstream_effort, simulstream_scores
from evaluate.latency.scores import (
    Scores,
    effort_scores,
    mean_scores,
    pooled_effort,
    pooled_lags,
    recording_scores,
    segment_scores,
    utterance_scores,
)
from evaluate.latency.timed import TimedOutput, timed_output
from evaluate.logs.findings import LogError
from evaluate.resegment import Segment, cut_recording
from evaluate.trace import StreamTrace
from evaluate.units import Unit

Compat = Literal["simuleval", "omnisteval", "simulstream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The scores of one utterance or segment, and what they were computed from."""

    output: TimedOutput
    scores: Scores


class Toolkit(Protocol):
    """What scores utterances, recordings, and a corpus of either."""

    def utterance(self, trace: StreamTrace, reference: str | None, unit: Unit) -> Row:
        """The row of an utterance that is its own segment."""

    def recording(self, trace: StreamTrace, segments: Sequence[Segment], unit: Unit) -> list[Row]:
        """The rows of a recording's segments."""

    def corpus(self, traces: Sequence[StreamTrace], rows: Sequence[Row], unit: Unit) -> Scores:
        """What the corpus scores."""


class Simulsa:
    """The queue clock; StreamLAAL on mWER segments, LongYAAL on soft ones, as each was defined."""

    def utterance(self, trace: StreamTrace, reference: str | None, unit: Unit) -> Row:
        output = timed_output(trace, reference, unit, queue_clock)
        return Row(output=output, scores=utterance_scores(output) | effort_scores(trace, unit))

    def recording(self, trace: StreamTrace, segments: Sequence[Segment], unit: Unit) -> list[Row]:
        whole = timed_output(trace, None, unit, queue_clock)
        cuts = (cut_recording(whole, segments, alignment=alignment) for alignment in ("mwer", "soft"))
        return [
            Row(output=edit, scores=segment_scores(edit) | _only_long_yaal(segment_scores(soft)))
            for edit, soft in zip(*cuts, strict=True)
        ]

    def corpus(self, traces: Sequence[StreamTrace], rows: Sequence[Row], unit: Unit) -> Scores:
        scores = mean_scores([row.scores for row in rows])
        if "StreamLAAL" in scores:
            wholes = [timed_output(trace, None, unit, queue_clock) for trace in traces]
            scores |= mean_scores([recording_scores(whole) for whole in wholes])
        return scores | pooled_lags([row.output for row in rows]) | pooled_effort(traces, unit)


class SimulEval:
    """SimulEval 1.1.4, which knows utterances only."""

    def utterance(self, trace: StreamTrace, reference: str | None, unit: Unit) -> Row:
        output = timed_output(trace, reference, unit, simuleval_clock)
        return Row(output=output, scores=simuleval_scores(trace, reference, unit))

    def recording(self, trace: StreamTrace, segments: Sequence[Segment], unit: Unit) -> list[Row]:  # noqa: ARG002
        raise LogError(
            "SimulEval does not score recordings in segments: give --compat omnisteval or simulstream"
        )

    def corpus(self, traces: Sequence[StreamTrace], rows: Sequence[Row], unit: Unit) -> Scores:  # noqa: ARG002
        return mean_scores([row.scores for row in rows])


class OmniSTEval:
    """OmniSTEval 0.1.10: a SimulEval log's elapsed times, a simulstream log's d + c.

    `CAfix` is its --fix_simuleval_emission_ca.
    """

    def __init__(self, logged: Clock) -> None:
        self._clocks = (logged, omnisteval_clock)

    def utterance(self, trace: StreamTrace, reference: str | None, unit: Unit) -> Row:
        output, fixed = (timed_output(trace, reference, unit, clock) for clock in self._clocks)
        return Row(output=output, scores=omnisteval_scores(output) | omnisteval_scores(fixed, "_CAfix"))

    def recording(self, trace: StreamTrace, segments: Sequence[Segment], unit: Unit) -> list[Row]:
        end_ms = max(segment.end_ms for segment in segments)
        cuts = [
            cut_recording(
                timed_output(trace, None, unit, clock), segments, alignment="soft", recording_end_ms=end_ms
            )
            for clock in self._clocks
        ]
        return [
            Row(output=logged, scores=omnisteval_long_scores(logged) | omnisteval_long_scores(fixed, "CAfix"))
            for logged, fixed in zip(*cuts, strict=True)
        ]

    def corpus(self, traces: Sequence[StreamTrace], rows: Sequence[Row], unit: Unit) -> Scores:  # noqa: ARG002
        return mean_scores([row.scores for row in rows])


class Simulstream:
    """simulstream 1.0.0, in seconds; an utterance is a recording of one segment."""

    def utterance(self, trace: StreamTrace, reference: str | None, unit: Unit) -> Row:
        output = timed_output(trace, reference, unit, simulstream_clock)
        return Row(output=output, scores=simulstream_scores(output))

    def recording(self, trace: StreamTrace, segments: Sequence[Segment], unit: Unit) -> list[Row]:
        whole = timed_output(trace, None, unit, simulstream_clock)
        cuts = cut_recording(whole, segments, alignment="mwer")
        return [Row(output=cut, scores=simulstream_scores(cut)) for cut in cuts]

    def corpus(self, traces: Sequence[StreamTrace], rows: Sequence[Row], unit: Unit) -> Scores:
        return mean_scores([row.scores for row in rows]) | simulstream_effort(traces, unit)


def choose_toolkit(compat: Compat | None, log_format: str) -> Toolkit:
    """Ours, or the one whose numbers are asked for."""
    match compat:
        case None:
            return Simulsa()
        case "simuleval":
            return SimulEval()
        case "omnisteval":
            return OmniSTEval(simulstream_clock if log_format == "simulstream" else simuleval_clock)
        case "simulstream":
            return Simulstream()


def _only_long_yaal(scores: Scores) -> Scores:
    return {name: value for name, value in scores.items() if name.startswith("LongYAAL")}
