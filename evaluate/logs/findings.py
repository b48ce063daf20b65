"""What can be wrong with a line of a log, and how it is said."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lalm.errors import SimulsaError

RULES = {
    "not_utf8": "every line is UTF-8",
    "not_json": "every line is one JSON value",
    "not_an_object": "every line is a JSON object",
    "duplicate_key": "an object names a field once",
    "missing_field": "a field is missing",
    "wrong_type": "a field has the type that its toolkit writes",
    "not_finite": "numbers are finite",
    "out_of_range": "durations are above 0, times and counts at least 0",
    "delays_decrease": "no unit is written before the one in front of it",
    "elapsed_decreases": "computation-aware times never decrease",
    "elapsed_before_delay": "nothing is written before it was heard: CA >= CU",
    "compute_decreases": "SimulEval's elapsed is the delay and all compute so far, so elapsed - delay never falls; "
    "--compat takes elapsed as it stands",
    "wrong_length": "delays, elapsed, prediction_length and the prediction's words or characters are equally many",
    "duplicate_id": "an utterance is logged once; a second run into the same file adds itself to the first",
    "missing_utterance": "indices leave no gap: a dropped utterance would never be punished",
    "no_metadata": "a recording's metadata row comes before its steps",
    "audio_decreases": "a recording is heard forwards: a second run into the same file begins again",
    "erased_unwritten": "deleted_tokens are the last tokens that stand",
    "tokenizer_needed": "tokens are readable text, not byte-level ids: decode them with the model's tokenizer",
    "not_a_trace": "every line is a trace that simulsa wrote",
}
"""Each rule and what it demands."""
HARMLESS = frozenset({"missing_utterance"})
"""Rules whose breach leaves the scores of what is there right."""
_SHOWN = 80


class LogError(SimulsaError):
    """A log that cannot be read, or whose scores would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One breach of a rule: the line (from 1), its field (None: the whole line), and the value found."""

    line: int
    field: str | None
    rule: str
    value: str

    def __str__(self) -> str:
        place = f"line {self.line}" + (f", {self.field}" if self.field else "")
        return f"{place}: {self.rule} (got {self.value}): {RULES[self.rule]}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def finding(line: int, field: str | None, rule: str, value: object) -> Finding:
    """A finding whose value is shortened to what a person can read."""
    shown = value if isinstance(value, str) else repr(value)
    shown = shown.encode("utf-8", "backslashreplace").decode("utf-8")
    return Finding(
        line=line, field=field, rule=rule, value=shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
    )


def refuse(path: object, findings: Sequence[Finding], tolerated: Collection[str] = HARMLESS) -> None:
    """Raise LogError when a finding, of a rule that is not tolerated, makes the log's scores meaningless."""
    grave = [found for found in findings if found.rule not in tolerated]
    if grave:
        more = f" (and {len(grave) - 1} more)" if len(grave) > 1 else ""
        raise LogError(
            f"{path}, {grave[0]}{more}. No score is computed; `simulsa lint {path}` lists all findings"
        )
