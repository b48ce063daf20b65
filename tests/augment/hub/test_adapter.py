"""An adapter is published with a card, and with none of the other files that lie beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from augment.hub.adapter import AdapterFacts, publish_adapter
from augment.hub.errors import HubError
from augment.hub.patience import Patience
from augment.hub.publication import Place, Publication
from lalm.errors import ModelError
from tests.augment.hub.conftest import write_adapter_manifest
from tests.support.hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own upload
REPO = "toy/lora"
CURVES = {
    "base": [
        {"chunk_ms": 640, "bleu": 40.4, "laal_ms": 512.0},
        {"chunk_ms": None, "bleu": 98.5, "laal_ms": 3000.0},
    ],
    "simulsa": [
        {"chunk_ms": None, "bleu": 97.9, "laal_ms": None},
        {"chunk_ms": 640, "bleu": 50.6, "laal_ms": 498.6},
    ],
}


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    directory = tmp_path / "adapter"
    directory.mkdir()
    (directory / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "base_model_name_or_path": "micro-lalm"}'
    )
    save_file({"lora_A": np.ones((2, 2), np.float32)}, directory / "adapter_model.safetensors")
    (directory / "training.jsonl").write_text('{"host": "mine"}')
    (directory / ".stage-key").write_text("key")
    write_adapter_manifest(directory)
    return directory


@pytest.fixture
def publish(hub: Hub, adapter: Path, patience: Patience) -> Callable[..., Publication]:
    def call(**facts: Any) -> Publication:
        place = Place(repo=REPO)
        return publish_adapter(
            adapter, place, AdapterFacts(**facts), token=hub.token, endpoint=hub.url, patience=patience
        )

    return call


def test_the_adapters_own_files_and_its_card_are_published_and_nothing_else(
    hub: Hub, adapter: Path, publish: Callable[..., Publication]
) -> None:
    result = publish()

    content = hub.content(REPO, kind="model")
    own = ("adapter_config.json", "adapter_model.safetensors", "manifest.json")
    assert content.keys() == {*own, "README.md"}
    assert all(content[name] == (adapter / name).read_bytes() for name in own)
    assert (result.status, result.kind, result.digest) == ("published", "model", "ad" * 32)
    assert publish().status == "unchanged"


def test_the_card_names_base_data_scores_and_picture(
    hub: Hub, tmp_path: Path, publish: Callable[..., Publication]
) -> None:
    summary, curve = tmp_path / "summary.json", tmp_path / "plot.png"
    summary.write_text(json.dumps({"curves": CURVES}))
    curve.write_bytes(b"\x89PNG")

    publish(base="toy/micro", dataset="toy/data@v1", license="cc-by-4.0", summary=summary, curve=curve)

    content = hub.content(REPO, kind="model")
    _, front, text = content["README.md"].decode().split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert (metadata["base_model"], metadata["datasets"]) == ("toy/micro", ["toy/data"])
    assert metadata["license"] == "cc-by-4.0"
    assert "| 640 | 50.6 | 499 | 40.4 | 512 |\n| whole | 97.9 |  | 98.5 | 3000 |\n" in text
    assert "`toy/data@v1`" in text
    assert "![quality against latency](curve.png)" in text
    assert content["curve.png"] == b"\x89PNG"


def test_a_control_says_that_it_is_one(hub: Hub, adapter: Path, publish: Callable[..., Publication]) -> None:
    write_adapter_manifest(adapter, augmented_rows=0, augmented_weight=0.0, dataset_digest=None)
    publish()
    assert b"offline data alone: the control" in hub.content(REPO, kind="model")["README.md"]


def test_a_pickled_adapter_is_refused(hub: Hub, adapter: Path, publish: Callable[..., Publication]) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickled"):
        publish()
    assert hub.requests == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"license": "cc-by-nc-nd-4.0"}, "forbids derivatives"),
        ({"summary": Path("missing.json")}, "summary.json of a run"),
        ({"curve": Path("missing.png")}, "picture that exists"),
        ({"curve": Path(__file__)}, "picture that exists"),
    ],
)
def test_wrong_facts_are_refused_before_any_request(
    hub: Hub, publish: Callable[..., Publication], facts: dict[str, Any], message: str
) -> None:
    with pytest.raises(HubError, match=message):
        publish(**facts)
    assert hub.requests == []


def test_curves_of_another_form_are_named(
    hub: Hub, tmp_path: Path, publish: Callable[..., Publication]
) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps({"curves": {"simulsa": [{"chunk": 1}]}}))
    with pytest.raises(HubError, match="curves of another form"):
        publish(summary=summary)


def test_a_dataset_is_not_replaced_by_an_adapter(hub: Hub, publish: Callable[..., Publication]) -> None:
    made = hub.repositories.create("model", REPO, private=True)
    hub.repositories.push(made, {"manifest.json": b'{"dataset_digest": "x"}', "adapter_config.json": b"{}"})
    with pytest.raises(HubError, match="did not publish"):
        publish()
