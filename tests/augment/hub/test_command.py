"""`simulsa publish`: to the Hub or to a directory, a dataset or an adapter, with one JSON object to read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

import flows.commands.publish  # noqa: F401 - registers the command
from flows.cli import main
from tests.augment.hub.conftest import REPO, contents, write_adapter_manifest
from tests.support.hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload
Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def simulsa(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], waits: list[float]
) -> Command:
    """Run the command; its exit code, its JSON object (or its text), and what went to stderr."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    pages = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", pages)
    monkeypatch.setenv("HF_TOKEN", hub.token)

    def call(*arguments: object) -> tuple[int, Any, str]:
        monkeypatch.setattr(sys, "argv", ["simulsa", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments else out, err

    return call


def test_a_dataset_goes_to_the_hub_and_the_answer_says_what_was_done(
    hub: Hub, dataset: Path, simulsa: Command
) -> None:
    code, dry, _ = simulsa("publish", dataset, "--repo", REPO, "--dry-run", "--json")
    assert (code, dry["status"], set(dry["added"])) == (0, "dry_run", contents(dataset).keys())

    code, result, _ = simulsa("publish", dataset, "--repo", REPO, "--tag", "v1", "--public", "--json")

    assert (code, result["status"], result["tag"], result["private"]) == (0, "published", "v1", False)
    assert result["commit"] == hub.repository(REPO).resolve("v1").oid
    assert hub.content(REPO) == contents(dataset)


def test_without_json_the_next_step_is_a_line_of_python(dataset: Path, simulsa: Command) -> None:
    _, out, _ = simulsa("publish", dataset, "--repo", REPO, "--tag", "v1")
    assert out.splitlines()[-1] == f'next: datasets.load_dataset("{REPO}", revision="v1")'


def test_branch_and_pull_request_reach_the_hub(hub: Hub, dataset: Path, simulsa: Command) -> None:
    simulsa("publish", dataset, "--repo", REPO, "--branch", "next")
    simulsa("publish", dataset, "--repo", REPO, "--pull-request")
    assert hub.content(REPO) == {}
    assert hub.content(REPO, "next") == hub.content(REPO, "refs/pr/1") == contents(dataset)


def test_an_adapter_is_recognised_and_becomes_a_model(hub: Hub, tmp_path: Path, simulsa: Command) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    save_file({"lora_A": np.ones((2, 2), np.float32)}, adapter / "adapter_model.safetensors")
    write_adapter_manifest(adapter)

    code, result, _ = simulsa("publish", adapter, "--repo", "toy/lora", "--data", f"{REPO}@v1", "--json")

    assert (code, result["kind"], result["url"]) == (0, "model", f"{hub.url}/toy/lora")
    assert b"`toy/data@v1`" in hub.content("toy/lora", kind="model")["README.md"]


def test_a_directory_still_works(dataset: Path, tmp_path: Path, simulsa: Command) -> None:
    code, result, _ = simulsa("publish", dataset, "--to", tmp_path / "public", "--json")
    assert (code, result["status"]) == (0, "published")
    assert contents(tmp_path / "public") == contents(dataset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "exactly one of --repo"),
        (["--repo", REPO, "--to", "public"], "exactly one of --repo"),
        (["--to", "public", "--tag", "v1"], "none of the Hub's options"),
        (["--repo", REPO, "--data", "toy/x"], "is no adapter"),
        (["--repo", "no-namespace"], "NAMESPACE/NAME"),
        (["--repo", "a/b/c"], "NAMESPACE/NAME"),
        (["--repo", REPO, "--tag", "v1", "--pull-request"], "excludes a branch and a tag"),
    ],
)
def test_wrong_wishes_are_one_error_and_no_request(
    hub: Hub, dataset: Path, simulsa: Command, arguments: list[str], message: str
) -> None:
    code, answer, err = simulsa("publish", dataset, *arguments, "--json")
    assert (code, message in answer["error"]["message"], "Traceback" in err) == (2, True, False)
    assert hub.requests == []
