"""`simulsa inspect` tells a corpus's state to a person, to a program and on a page of its own."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import flows.commands.inspect as command
from augment.corpora import Layout
from flows.cli import main
from tests.support.corpora import write_audio, write_covost2, write_iwslt, write_jsonl


def simulsa(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["simulsa", *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `simulsa inspect ... --json` and return the one object on stdout."""

    def call(*arguments: str) -> dict[str, Any]:
        code = simulsa(monkeypatch, "inspect", *arguments, "--json")
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result | {"code": code}

    return call


def test_folder_is_surveyed_split_by_split(inspected: Any, tmp_path: Path) -> None:
    for split, segments in (("train", 3), ("dev", 1)):
        write_iwslt(tmp_path / "en-de", split=split, segments=segments, recordings=2)
    result = inspected(str(tmp_path))
    assert result["code"] == 0
    assert {s["split"]: s["lines"] for s in result["splits"]} == {"train": 6, "dev": 2}
    assert result["guessed_from"] == ["en-de/dev/txt/dev.yaml", "en-de/train/txt/train.yaml"]
    assert (result["corpus"]["src_lang"], result["html"]) == ("en", None)


def test_configuration_is_surveyed_and_its_absent_splits_are_named(inspected: Any, tmp_path: Path) -> None:
    write_covost2(tmp_path / "corpus")
    place = f"layout: covost2, root: {tmp_path / 'corpus'}"
    corpus = f"{{name: c, {place}, src_lang: en, tgt_lang: de, license: cc-by-nd-4.0}}"
    (tmp_path / "my.yaml").write_text(f"name: mine\nmodel: {{path: x}}\ncorpus: {corpus}\n")
    result = inspected(str(tmp_path / "my.yaml"), "--sample", "0")
    assert [s["split"] for s in result["splits"]] == ["train"]
    assert set(result["absent"]) == {"dev", "test"}
    assert result["licenses"] == {"cc-by-nd-4.0": {"audio": False, "text": False}}
    assert result["splits"][0]["headers_read"] == 0
    refused = inspected(str(tmp_path / "my.yaml"), "--src", "en")
    assert (refused["code"], refused["error"]["type"]) == (2, "ConfigError")


@pytest.mark.parametrize(
    "arguments", [["--sample", "-1"], ["--layout", "fleurs"], ["--html", "none/x.html"], ["--src", "../e"]]
)
def test_impossible_wish_is_one_message(inspected: Any, tmp_path: Path, arguments: list[str]) -> None:
    write_jsonl(tmp_path)
    result = inspected(str(tmp_path), *arguments)
    assert (result["code"], set(result)) == (2, {"code", "error"})


def test_page_loads_nothing_and_shows_hostile_text_as_text(inspected: Any, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "corpus", 2)
    with (tmp_path / "corpus/train.jsonl").open("a") as file:
        file.write('{"audio": "../<script>alert(1)</script>", "tgt_text": "x"}\n')
    page = tmp_path / "report.html"
    assert inspected(str(tmp_path / "corpus"), "--html", str(page))["html"] == str(page)
    html = page.read_text()
    assert "&lt;script&gt;alert(1)" in html
    assert not re.search(r"<script|https?://|src=|@import|url\(", html)
    assert html.count("<svg") == 2
    assert "audio_outside_root" in html


def test_person_sees_problems_and_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_covost2(tmp_path, 4)
    (tmp_path / "clips/train_001.wav").write_bytes(b"noise")
    write_audio(tmp_path / "clips/train_002.wav", 31.0)
    assert simulsa(monkeypatch, "inspect", str(tmp_path)) == 0
    out, err = capsys.readouterr()
    assert "train: audio: audio_undecodable: 1 of 4" in out
    assert "train: suspicious: longer_than_30_s: 1 of 4" in out
    assert "layout: covost2" in out
    assert "inspect train: done" in err


def test_command_offers_every_layout() -> None:
    hint = get_type_hints(command.inspect)["layout"]
    assert set(get_args(get_args(hint)[0])) == set(get_args(Layout))
