"""`simulsa export`: one command per format, one JSON object, and a refusal that costs nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import flows.commands.export  # noqa: F401 - importing registers the command
from augment.exports import FORMATS
from flows.cli import main
from tests.support.examples import PROVENANCE, build_dataset

Run = Any


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def simulsa(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["simulsa", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return simulsa


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    build_dataset(tmp_path, tuple("abc"), texts={"a": ""})
    return tmp_path / "dataset"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_answers_with_one_json_object(run: Run, dataset: Path, name: str) -> None:
    target = dataset.parent / "out"

    code, out, _ = run("export", dataset, "--format", name, "--to", target, "--json")

    result = json.loads(out)
    assert (code, result["status"], result["format"]) == (0, "exported", name)
    assert (result["rows"], result["empty_targets"], result["license"]) == (3, 1, "cc0-1.0")
    assert (target / result["manifest"]).is_file()


def test_a_person_reads_what_was_written_and_the_next_command(run: Run, dataset: Path) -> None:
    target = dataset.parent / "out"

    _, out, _ = run("export", dataset, "--format", "ms-swift", "--to", target)

    assert "exported: 3 rows (1 with an empty target), 2.2 s of audio" in out
    assert f"next: cd {target} && swift sft" in out


def test_the_label_before_the_audio_is_llamafactorys_alone(run: Run, dataset: Path) -> None:
    target = dataset.parent / "out"
    arguments = ("export", dataset, "--to", target, "--audio-label", "")

    code, _, err = run(*arguments, "--format", "nemo")
    assert (code, target.exists()) == (2, False)
    assert "--audio-label has no meaning for nemo" in err

    assert run(*arguments, "--format", "llamafactory")[0] == 0
    line = json.loads((target / "train.jsonl").read_text().splitlines()[0])
    assert line["messages"][0]["content"] == f"<audio>{PROVENANCE.instruction}"


def test_a_foreign_directory_is_refused_with_one_json_object(run: Run, dataset: Path) -> None:
    (dataset.parent / "notes.txt").write_text("mine")

    code, out, _ = run("export", dataset, "--format", "trl", "--to", dataset.parent / "parts", "--json")

    assert code == 2
    assert json.loads(out)["error"]["type"] == "ExportError"
