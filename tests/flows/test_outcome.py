"""What a person reads when a command ends."""

from pathlib import Path
from typing import Any

import pytest

from flows.outcome import OUT, print_outcome


def summary(run_dir: Path) -> dict[str, Any]:
    """A run that was evaluated and whose tables are of no interest here."""
    report = str(run_dir / "report.html")
    return {"dataset": None, "curves": {}, "equal_latency": [], "run_dir": str(run_dir), "report": report}


@pytest.mark.parametrize(
    ("missing", "said"), [(None, "SVG and PNG"), ("no PNG: install [it]", "SVG; no PNG: install [it]")]
)
def test_it_says_where_the_numbers_are_and_what_pictures_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str | None, said: str
) -> None:
    monkeypatch.setattr("flows.outcome.why_no_png", lambda: missing)
    with OUT.capture() as captured:
        print_outcome(summary(tmp_path), "demo")
    assert f"numbers: {tmp_path}/scores (CSV), pictures there: {said}\n" in captured.get()
