"""`simulsa score --comet` on a log of another system."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import flows.commands.score  # noqa: F401 - importing registers the command
from flows.cli import main
from tests.support.comet import checkpoint

TEXTS = ("der Mann kauft zwei Äpfel", "wir besuchen Berlin")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "instances.log"
    lines = []
    for index, text in enumerate(TEXTS):
        delays = [1000.0 * (i + 1) for i in range(len(text.split()))]
        instance = {
            "index": index,
            "prediction": text,
            "delays": delays,
            "elapsed": delays,
            "source_length": 5000.0,
        }
        lines.append(json.dumps(instance | {"reference": text}) + "\n")
    path.write_text("".join(lines))
    return path


def simulsa(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["simulsa", "score", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.slow
def test_two_models_score_one_log(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = tmp_path / "sources.en"
    sources.write_text("the man buys two apples\nwe visit Berlin\n")
    models = ["--comet", checkpoint("reference"), "--comet", checkpoint("kiwi")]
    assert simulsa(monkeypatch, log, *models, "--sources", sources, "--lang", "de", "--json") == 0
    reports = json.loads(capsys.readouterr().out)["comet"]
    assert [report["model"].split("@")[0] for report in reports] == ["reference", "kiwi"]
    for report in reports:
        assert report["n"] == len(TEXTS)
        assert report["mean"] == pytest.approx(sum(report["utterances"].values()) / len(TEXTS))


def test_model_without_source_texts_is_refused(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulsa(monkeypatch, log, "--comet", "Unbabel/XCOMET-XL") != 0
    assert "--sources" in capsys.readouterr().err
