"""The command line explains what is wrong before any work, and with --json says exactly one JSON object."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import main
from tests.support.corpora import write_covost2
from tests.support.micro import random_micro_lalm


def simulsa(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["simulsa", *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def write_config(directory: Path, *, model: Path, corpus: Path, extra: str = "") -> Path:
    path = directory / "my.yaml"
    path.write_text(
        f"name: mine\noutputs: {directory / 'outputs'}\nmodel: {{path: {model}}}\n"
        f"corpus: {{name: c, layout: covost2, root: {corpus}, src_lang: en, tgt_lang: de}}\n{extra}"
    )
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return random_micro_lalm(tmp_path / "micro")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_covost2(tmp_path / "corpus", 8)
    return tmp_path / "corpus"


def test_unknown_key_stops_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model: Path,
    corpus: Path,
) -> None:
    config = write_config(tmp_path, model=model, corpus=corpus, extra="truncate: {fractoin: 1}\n")
    assert simulsa(monkeypatch, "run", str(config), "--json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "ConfigError"
    assert "did you mean 'fraction'?" in err
    assert not (tmp_path / "outputs").exists()


def test_model_without_weights_stops_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model: Path,
    corpus: Path,
) -> None:
    (model / "model.safetensors").unlink()
    assert simulsa(monkeypatch, "build", str(write_config(tmp_path, model=model, corpus=corpus))) == 2
    assert "weights" in capsys.readouterr().err
    assert not (tmp_path / "outputs" / "mine").exists()


def test_wrong_corpus_layout_says_what_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    config = write_config(tmp_path, model=model, corpus=tmp_path / "nothing")
    assert simulsa(monkeypatch, "build", str(config)) == 2
    assert "covost_v2.en_de.train.tsv" in capsys.readouterr().err


def test_dry_run_counts_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model: Path,
    corpus: Path,
) -> None:
    config = write_config(tmp_path, model=model, corpus=corpus, extra="truncate: {fraction: 1.0}\n")
    assert simulsa(monkeypatch, "run", str(config), "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["utterances"], plan["selected"]) == (8, 8)
    assert plan["gpu_hours"] >= 0
    assert plan["audio_hours"] >= 0
    assert not (tmp_path / "outputs").exists()


def test_config_show_json_is_the_whole_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulsa(monkeypatch, "config", "show", "tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out)["truncate"]["beta"] == 3.0


def test_doctor_never_shows_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    simulsa(monkeypatch, "doctor", "--json")
    out, err = capsys.readouterr()
    assert "hf_secretsecretsecret" not in out + err
    assert {check["name"] for check in json.loads(out)["checks"]} >= {"python", "libraries", "disk"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("stream",),
        ("publish",),
        ("run", "--bogus"),
        ("stream", "missing.wav"),
        ("stream", "missing.wav", "--chunk-ms", "0"),
        ("run", "tiny", "--set", "outputs=/dev/null/x"),
    ],
)
def test_every_wrong_use_is_one_json_error_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert simulsa(monkeypatch, *arguments, "--json") == 2
    out, err = capsys.readouterr()
    assert set(json.loads(out)) == {"error"}
    assert "Traceback" not in err


def test_dry_run_survives_an_audio_path_that_a_run_would_reject(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model: Path,
    corpus: Path,
) -> None:
    clip = sorted((corpus / "clips").iterdir())[0]
    clip.unlink()
    clip.symlink_to("/etc/hostname")
    assert (
        simulsa(monkeypatch, "build", str(write_config(tmp_path, model=model, corpus=corpus)), "--dry-run")
        == 0
    )
    assert "utterances" in capsys.readouterr().out


@pytest.mark.slow
def test_prefect_server_that_does_not_answer_is_named(tmp_path: Path, model: Path, corpus: Path) -> None:
    """In a process of its own: Prefect reads its settings when it is imported."""
    config = write_config(tmp_path, model=model, corpus=corpus)
    env = os.environ | {
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    command = [sys.executable, "-m", "flows.cli", "build", str(config), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 2
    assert "127.0.0.1:9" in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_ends_the_command_without_a_traceback() -> None:
    """`simulsa ... | head`: the pipe's other end is closed before the command writes."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "flows.cli", "config", "show", "demo"]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")
