"""OmniSTEval 0.1.10, for utterances and for segments of recordings."""

from __future__ import annotations

from collections.abc import Sequence

from evaluate.latency.compat.lengths import lagging_scores, split_length, yaal_score
from evaluate.latency.timed import TimedOutput


def omnisteval_scores(output: TimedOutput, suffix: str = "_CA") -> dict[str, float]:
    """AL, LAAL, AP, DAL, YAAL of an utterance; `suffix` names those on the output's computation-aware clock."""
    scores = _short(output.delays_ms, output)
    return scores | {
        f"{name}{suffix}": value for name, value in _short(output.aware_ms or (), output).items()
    }


def omnisteval_long_scores(output: TimedOutput, aware_name: str = "CA") -> dict[str, float]:
    """LongAL (CU) and its like of one segment; LongYAAL ends where the recording does."""
    unaware, aware = _long(output.delays_ms, output), _long(output.aware_ms or (), output)
    named = {f"{name} (CU)": value for name, value in unaware.items()}
    return named | {f"{name} ({aware_name})": value for name, value in aware.items()}


def _short(times_ms: Sequence[float], output: TimedOutput) -> dict[str, float]:
    length, source_ms = split_length(output), output.source_ms
    scores = lagging_scores(times_ms, source_ms, length)
    return scores | yaal_score(times_ms, source_ms, length, source_ms)


def _long(times_ms: Sequence[float], output: TimedOutput) -> dict[str, float]:
    """Characters of a reference are real ones here, without the spaces that the short form counts."""
    length = split_length(output) if output.unit == "word" else output.reference_units
    scores = lagging_scores(times_ms, output.source_ms, length)
    scores |= yaal_score(times_ms, output.source_ms, length, output.recording_end_ms)
    return {f"Long{name}": value for name, value in scores.items()}
