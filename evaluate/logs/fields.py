"""Lines of a JSON-lines log as objects, and their fields with the types they must have.

Every doubt becomes a finding that names line and field; nothing here raises on what a file holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.corpora.lines import decoded, raw_lines
from evaluate.logs.findings import Finding, finding


class _RepeatedKeyError(ValueError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """One object of a log; a getter returns None, and adds to `findings`, where the field is not as it must be."""

    line: int
    value: dict[str, Any]
    findings: list[Finding]

    def report(self, field: str | None, rule: str, value: object) -> None:
        """Add a finding on this line."""
        self.findings.append(finding(self.line, field, rule, value))

    def text(self, name: str) -> str | None:
        """A string that can be written as UTF-8."""
        value = self._present(name)
        return self._accepted(name, value) if value is not None else None

    def optional_text(self, name: str) -> str | None:
        """A string, or None where the field is null or absent."""
        value = self.value.get(name)
        return None if value is None else self._accepted(name, value)

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of strings."""
        value = self._present(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self.report(name, "wrong_type", value)
            return None
        texts = [self._accepted(f"{name}[{i}]", text) for i, text in enumerate(value)]
        return None if None in texts else tuple(text for text in texts if text is not None)

    def number(self, name: str, *, at_least: float | None = None, above: float | None = None) -> float | None:
        """A finite number within its bound."""
        value = self._present(name)
        number = None if value is None else self._number(name, value)
        if number is None:
            return None
        if (at_least is not None and number < at_least) or (above is not None and number <= above):
            self.report(name, "out_of_range", value)
            return None
        return number

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """A list of finite numbers."""
        value = self._present(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self.report(name, "wrong_type", value)
            return None
        numbers = [self._number(f"{name}[{i}]", number) for i, number in enumerate(value)]
        return None if None in numbers else tuple(number for number in numbers if number is not None)

    def integer(self, name: str) -> int | None:
        """A whole number of at least 0."""
        value = self._present(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self.report(name, "wrong_type", value)
            return None
        if value < 0:
            self.report(name, "out_of_range", value)
            return None
        return value

    def _present(self, name: str) -> Any:
        value = self.value.get(name)
        if value is None:
            self.report(name, "missing_field", sorted(self.value))
        return value

    def _accepted(self, name: str, value: Any) -> str | None:
        if not isinstance(value, str):
            self.report(name, "wrong_type", value)
            return None
        if decoded(value.encode("utf-8", "surrogatepass")) is None:
            self.report(name, "not_utf8", value)
            return None
        return value

    def _number(self, name: str, value: Any) -> float | None:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            self.report(name, "wrong_type", value)
            return None
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.report(name, "not_finite", number)
            return None
        return number


def read_objects(path: Path, findings: list[Finding]) -> Iterator[Fields]:
    """Yield the JSON object of every line that is not blank; lines that hold none become findings."""
    for line, raw in enumerate(raw_lines(path), start=1):
        if raw.strip():
            value = _parse(line, raw, findings)
            if value is not None:
                yield Fields(line=line, value=value, findings=findings)


def _parse(line: int, raw: bytes, findings: list[Finding]) -> dict[str, Any] | None:
    text = decoded(raw)
    if text is None:
        findings.append(finding(line, None, "not_utf8", raw))
        return None
    try:
        value = json.loads(text, object_pairs_hook=_distinct)
    except _RepeatedKeyError as error:
        findings.append(finding(line, str(error), "duplicate_key", text))
        return None
    except (ValueError, RecursionError):
        findings.append(finding(line, None, "not_json", text))
        return None
    if not isinstance(value, dict):
        findings.append(finding(line, None, "not_an_object", text))
        return None
    return value


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKeyError(next(name for name in names if names.count(name) > 1))
    return value
