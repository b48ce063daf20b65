"""Who loads what was published gets every row and every byte: `datasets`, the Hub's own client, PEFT.

In processes of their own: the libraries read HF_ENDPOINT when they are imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from augment.hub.adapter import publish_adapter
from augment.hub.patience import Patience
from augment.hub.publication import Place, Publication
from augment.manifest import load_manifest
from augment.shards import read_shard
from tests.augment.hub.conftest import REPO, write_adapter_manifest
from tests.support.hub import Hub
from tests.support.micro import random_micro_lalm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the client's own upload
]

LOAD_DATASET = """
import hashlib, json, sys
import datasets
from datasets import Audio, load_dataset
from huggingface_hub import hf_hub_download
datasets.config.USE_PARQUET_EXPORT = False
repo, revision = sys.argv[1:]
def digests(rows):
    rows = rows.cast_column("audio", Audio(decode=False))
    return [[r["id"], r["partial_text"], hashlib.sha256(r["audio"]["bytes"]).hexdigest()] for r in rows]
print(json.dumps({
    "mapped": digests(load_dataset(repo, split="train", revision=revision)),
    "streamed": digests(load_dataset(repo, split="train", revision=revision, streaming=True)),
    "manifest": open(hf_hub_download(repo, "manifest.json", repo_type="dataset", revision=revision)).read(),
}))
"""

LOAD_ADAPTER = """
import json, sys
import torch
from peft import PeftModel
from transformers import Qwen2AudioForConditionalGeneration
base, *adapters = sys.argv[1:]
states = []
for adapter in adapters:
    model = Qwen2AudioForConditionalGeneration.from_pretrained(base)
    model = PeftModel.from_pretrained(model, adapter)
    states.append({name: tensor for name, tensor in model.state_dict().items() if "lora" in name})
local, remote = states
assert local and local.keys() == remote.keys()
print(json.dumps([any(bool(t.any()) for t in local.values()), all(torch.equal(local[n], remote[n]) for n in local)]))
"""


def run(hub: Hub, home: Path, script: str, *arguments: str) -> Any:
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(home / "hf")}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def random_adapter(directory: Path, base: Path) -> Path:
    """A LoRA that changes something, saved by PEFT."""
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2AudioForConditionalGeneration

    model = Qwen2AudioForConditionalGeneration.from_pretrained(base)
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    wrapped.save_pretrained(directory)
    write_adapter_manifest(directory)
    return directory


def test_datasets_loads_every_row_and_byte_mapped_and_streamed(
    hub: Hub, dataset: Path, tmp_path: Path, publish: Callable[..., Publication]
) -> None:
    publish(tag="v1")

    loaded = run(hub, tmp_path, LOAD_DATASET, REPO, "v1")

    shards = load_manifest(dataset).shards
    rows = [row for shard in shards for row in read_shard(dataset / shard.path)]
    expected = [[r["id"], r["partial_text"], hashlib.sha256(r["audio"]["bytes"]).hexdigest()] for r in rows]
    assert len(expected) == 6
    assert loaded["mapped"] == expected
    assert loaded["streamed"] == expected
    assert loaded["manifest"] == (dataset / "manifest.json").read_text()


def test_peft_loads_the_adapter_that_was_pushed(hub: Hub, tmp_path: Path, patience: Patience) -> None:
    base = random_micro_lalm(tmp_path / "micro")
    adapter = random_adapter(tmp_path / "adapter", base)
    publish_adapter(adapter, Place(repo="toy/lora"), token=hub.token, endpoint=hub.url, patience=patience)

    not_zero, equal = run(hub, tmp_path, LOAD_ADAPTER, str(base), str(adapter), "toy/lora")

    assert (not_zero, equal) == (True, True)
