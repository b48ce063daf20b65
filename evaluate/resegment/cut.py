"""The output of a recording cut into its reference segments, so that sentence metrics apply to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evaluate.latency.timed import TimedOutput
from evaluate.resegment.align import segment_bounds
from evaluate.resegment.likeness import edit_costs, soft_costs
from evaluate.resegment.segments import Segment
from evaluate.units import split_units, unit_spans

Alignment = Literal["mwer", "soft"]
_COSTS = {"mwer": edit_costs, "soft": soft_costs}


def align_segments(
    hypothesis: Sequence[str], references: Sequence[Sequence[str]], alignment: Alignment
) -> list[int]:
    """The index of the first hypothesis unit of every segment, and the end; exact, and safe on empty segments.

    `mwer` minimises the edit distance of the whole hypothesis to all references in a row; `soft` pairs similar
    words, as a wrong ending should not cut a sentence in two.
    """
    flat = [unit for reference in references for unit in reference]
    substitution, gap = _COSTS[alignment](flat, hypothesis)
    return segment_bounds(substitution, gap, len(hypothesis), [len(reference) for reference in references])


def cut_recording(
    output: TimedOutput,
    segments: Sequence[Segment],
    *,
    alignment: Alignment,
    recording_end_ms: float | None = None,
) -> list[TimedOutput]:
    """One output per segment, its times counted from the segment's beginning: negative where it came too early.

    A recording ends with its audio, or at `recording_end_ms`.
    """
    spans = unit_spans(output.text, output.unit)
    references = [split_units(segment.reference, output.unit) for segment in segments]
    bounds = align_segments([output.text[a:b] for a, b in spans], references, alignment)
    end_ms = output.source_ms if recording_end_ms is None else recording_end_ms
    cuts = zip(segments, bounds[:-1], bounds[1:], strict=True)
    return [
        TimedOutput(
            id=f"{segment.recording}_{index}",
            source_ms=segment.duration_ms,
            unit=output.unit,
            text=output.text[spans[first][0] : spans[last - 1][1]] if first < last else "",
            delays_ms=_shifted(output.delays_ms[first:last], segment),
            aware_ms=None if output.aware_ms is None else _shifted(output.aware_ms[first:last], segment),
            reference=segment.reference,
            recording_end_ms=end_ms - segment.offset_ms,
        )
        for index, (segment, first, last) in enumerate(cuts)
    ]


def _shifted(times_ms: Sequence[float], segment: Segment) -> tuple[float, ...]:
    return tuple(time - segment.offset_ms for time in times_ms)
