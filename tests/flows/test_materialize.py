"""`simulsa materialize`: from a published dataset without audio and the reader's own corpus to one that plays."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

import flows.commands.materialize  # noqa: F401 - importing registers the command
from augment.audio import to_int16
from augment.manifest import verify_dataset
from augment.publish import publish_to_directory
from flows.cli import main
from tests.support.corpora import write_iwslt
from tests.support.examples import build_dataset, full_waveform, utterance

IDS = tuple("abcd")
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
def published(tmp_path: Path) -> Path:
    build_dataset(tmp_path, IDS, license="unknown")
    return publish_to_directory(tmp_path / "dataset", tmp_path / "v1").target


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A CoVoST 2 directory whose clips are those of `build_dataset`."""
    root = tmp_path / "corpus"
    (root / "clips").mkdir(parents=True)
    lines = ["path\tsentence\ttranslation\tclient_id"]
    for id in IDS:
        soundfile.write(root / "clips" / f"{id}.wav", to_int16(full_waveform(id)), 16_000)
        lines.append(f"{id}.wav\t\t{utterance(id).tgt_text}\tspeaker")
    (root / "covost_v2.en_de.train.tsv").write_text("\n".join(lines) + "\n")
    return root


def test_a_corpus_directory_is_enough(run: Run, published: Path, corpus: Path) -> None:
    code, out, _ = run("materialize", published, "--corpus", corpus, "--json")

    result = json.loads(out)
    target = published.with_name("v1-with-audio")
    assert (code, result["status"], result["rebuilt"], result["failures"]) == (0, "materialized", 4, [])
    assert result["target"] == str(target)
    assert verify_dataset(target).audio == "embedded"


def test_a_configuration_names_the_corpus_and_its_split(
    run: Run, published: Path, corpus: Path, tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    section = {"name": "toy", "layout": "covost2", "root": str(corpus), "src_lang": "en", "tgt_lang": "de"}
    config.write_text(yaml.safe_dump({"name": "r", "model": {"path": "micro-lalm"}, "corpus": section}))

    code, out, _ = run("materialize", published, "--corpus", config, "--to", tmp_path / "whole", "--json")

    assert (code, json.loads(out)["rebuilt"]) == (0, 4)


def test_failures_are_listed_and_nothing_is_written(
    run: Run, published: Path, corpus: Path, tmp_path: Path
) -> None:
    (corpus / "clips" / "b.wav").unlink()
    arguments = ("materialize", published, "--corpus", corpus, "--to", tmp_path / "whole")

    code, out, _ = run(*arguments)
    assert (code, (tmp_path / "whole").exists()) == (1, False)
    assert "incomplete: audio of 3 of 4 rows" in out
    assert "b: audio_missing:" in out
    assert "--allow-missing" in out

    code, out, _ = run(*arguments, "--allow-missing", "--json")
    result = json.loads(out)
    assert (code, result["status"], result["failed"]) == (0, "materialized", {"audio_missing": 1})
    assert result["failures"][0]["id"] == "b"
    assert verify_dataset(tmp_path / "whole").counts.rows == 3


def test_a_dry_run_fails_as_the_real_one_would(run: Run, published: Path, corpus: Path) -> None:
    command = ("materialize", published, "--corpus", corpus, "--dry-run")
    assert run(*command)[0] == 0
    (corpus / "clips" / "b.wav").unlink()

    code, out, _ = run(*command, "--json")

    assert (code, json.loads(out)["status"]) == (1, "dry_run")
    assert not published.with_name("v1-with-audio").exists()


def test_a_directory_of_no_layout_or_of_two_is_not_guessed_at(
    run: Run, published: Path, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run("materialize", published, "--corpus", tmp_path / "empty")
    assert code == 2
    assert "but holds it in none: check directory and --split" in err

    write_iwslt(corpus)
    code, _, err = run("materialize", published, "--corpus", corpus)
    assert code == 2
    assert "but holds it in covost2 and iwslt" in err
