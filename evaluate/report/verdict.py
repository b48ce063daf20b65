"""The result in one sentence per comparison, said the same way whether SimulSA wins or not."""

from __future__ import annotations

from collections.abc import Sequence

from evaluate.significance import Difference, EqualLatency

_NAMES = {"base": "the base model", "control": "the control"}


def headline(points: Sequence[EqualLatency], *, treatment: str = "simulsa") -> str:
    """What the numbers allow to say about the treatment against all other systems together."""
    if not points:
        return "The curves share no latency, so no system can be called better than another here."
    everyone = [d for point in points for d in point.differences.values()]
    wins = [all(d.low > 0 for d in point.differences.values()) for point in points]
    rivals = _join([_NAMES.get(name, name) for name in points[0].bleu if name != treatment])
    if all(wins):
        return f"SimulSA translates better than {rivals} at every equal latency measured."
    if any(wins):
        return (
            f"SimulSA translates better than {rivals} at {sum(wins)} of {len(wins)} equal latencies measured."
        )
    if all(d.high < 0 for d in everyone):
        return f"SimulSA translates worse than {rivals} at every equal latency measured."
    if any(d.high < 0 for d in everyone):
        return f"SimulSA is not better than {rivals} at equal latency, and worse at some."
    return f"At equal latency, no advantage of SimulSA over {rivals} is shown."


def comparisons(
    points: Sequence[EqualLatency], confidence: float, *, treatment: str = "simulsa"
) -> list[str]:
    """One sentence per other system: how often ahead, behind, undecided, and the extremes."""
    if not points:
        return []
    rivals = [name for name in points[0].bleu if name != treatment]
    return [_comparison(points, rival, f"{treatment}_minus_{rival}", confidence) for rival in rivals]


def _comparison(points: Sequence[EqualLatency], rival: str, key: str, confidence: float) -> str:
    differences = [(point.laal_ms, point.differences[key]) for point in points]
    ahead = [d for _, d in differences if d.low > 0]
    behind = [d for _, d in differences if d.high < 0]
    undecided = len(differences) - len(ahead) - len(behind)
    best = _extreme(*max(differences, key=lambda pair: pair[1].diff), confidence)
    worst = _extreme(*min(differences, key=lambda pair: pair[1].diff), confidence)
    extremes = f"at best {best}" + (f"; at worst {worst}" if len(differences) > 1 else "")
    return (
        f"Against {_NAMES.get(rival, rival)}, SimulSA is ahead at {len(ahead)}, behind at {len(behind)} and "
        f"undecided at {undecided} of {len(differences)} equal latencies: {extremes}."
    )


def _extreme(laal_ms: float, d: Difference, confidence: float) -> str:
    return (
        f"{signed(d.diff)} BLEU at LAAL {signed(laal_ms, 0, plus=False)} ms "
        f"({confidence:.0%} interval {signed(d.low)} to {signed(d.high)})"
    )


def signed(value: float, digits: int = 1, *, plus: bool = True) -> str:
    """A number with a true minus sign, and a plus where it is a difference."""
    text = f"{value:{'+' if plus else ''}.{digits}f}"
    if not float(text):
        return text.lstrip("+-")
    return text.replace("-", "−")


def _join(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
