"""What no system can have done: rules on the times and lengths of one logged utterance."""

from __future__ import annotations

from collections.abc import Sequence

from evaluate.logs.fields import Fields
from evaluate.units import split_units

_ROUNDING_MS = 1e-3
"""Float noise of a difference of times; a breach below it is none."""


def check_instance(
    fields: Fields, prediction: str, delays: Sequence[float], elapsed: Sequence[float] | None
) -> None:
    """Report every rule that a SimulEval instance breaks."""
    _check_lengths(fields, prediction, delays, elapsed)
    _check_order(fields, "delays", "delays_decrease", delays)
    if delays and delays[0] < 0:
        fields.report("delays[0]", "out_of_range", delays[0])
    if elapsed is None or len(elapsed) != len(delays):
        return
    _check_order(fields, "elapsed", "elapsed_decreases", elapsed)
    compute = [aware - delay for aware, delay in zip(elapsed, delays, strict=True)]
    early = next((i for i, spent in enumerate(compute) if spent < -_ROUNDING_MS), None)
    if early is not None:
        fields.report(f"elapsed[{early}]", "elapsed_before_delay", f"{elapsed[early]} < {delays[early]}")
    else:
        _check_order(fields, "elapsed", "compute_decreases", compute, rounding_ms=_ROUNDING_MS)


def _check_lengths(
    fields: Fields, prediction: str, delays: Sequence[float], elapsed: Sequence[float] | None
) -> None:
    words, characters = (len(split_units(prediction, unit)) for unit in ("word", "char"))
    if len(delays) not in (words, characters):
        fields.report(
            "delays", "wrong_length", f"{len(delays)} delays, {words} words, {characters} characters"
        )
    if elapsed is not None and len(elapsed) != len(delays):
        fields.report("elapsed", "wrong_length", f"{len(elapsed)} times, {len(delays)} delays")
    if fields.value.get("prediction_length") is not None:
        length = fields.integer("prediction_length")
        if length is not None and length != len(delays):
            fields.report("prediction_length", "wrong_length", f"{length}, but {len(delays)} delays")


def _check_order(
    fields: Fields, field: str, rule: str, times: Sequence[float], rounding_ms: float = 0.0
) -> None:
    """Report the first time that is earlier than the one before it."""
    for i in range(1, len(times)):
        if times[i] < times[i - 1] - rounding_ms:
            fields.report(f"{field}[{i}]", rule, f"{times[i - 1]}, then {times[i]}")
            return
