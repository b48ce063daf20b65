"""A rerun makes again what it was told to, takes nothing from others, and looks for room before it writes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.checks import Needs, RoomError, check_gpu, free_gpu_bytes, needing
from tasks.reporting import STAGES, stages_from
from tasks.run_store import RunStore, open_run_store
from tasks.store import Manifest, StoreError


def make(store: RunStore, text: str, stage: str = "generate") -> Manifest:
    def write(out: Path) -> Mapping[str, Any]:
        if text == "broken":
            raise ValueError("broken")
        (out / "text").write_text(text)
        return {}

    return store.ensure(stage, 1, {"of": "this"}, write)


def read(manifest: Manifest) -> str:
    return manifest.path("text").read_text()


@pytest.fixture
def first(tmp_path: Path) -> Manifest:
    return make(open_run_store(tmp_path, tmp_path), "first")


def again(root: Path) -> RunStore:
    return open_run_store(root, root, again=stages_from("generate"))


def test_stage_is_made_again_once_and_stays_for_later_runs(first: Manifest, tmp_path: Path) -> None:
    store = again(tmp_path)
    assert (read(make(store, "second")), read(make(store, "third"))) == ("second", "second")
    assert read(make(open_run_store(tmp_path, tmp_path), "fourth")) == "second"
    assert read(first) == "first", "whoever read the earlier output still can"


def test_stages_before_are_read_back(tmp_path: Path) -> None:
    make(open_run_store(tmp_path, tmp_path), "first", "truncate")
    assert make(again(tmp_path), "second", "truncate").cached


def test_failed_attempt_leaves_the_earlier_output_in_its_place(first: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"):
        make(again(tmp_path), "broken")
    assert read(make(open_run_store(tmp_path, tmp_path), "second")) == "first"


def test_worker_process_makes_again_what_its_run_does(first: Manifest, tmp_path: Path) -> None:
    assert read(make(pickle.loads(pickle.dumps(again(tmp_path))), "second")) == "second"


def test_read_only_store_makes_nothing_again(first: Manifest, tmp_path: Path) -> None:
    assert make(open_run_store(tmp_path, tmp_path, read_only=True, again=STAGES), "second").cached


def test_nothing_in_a_bucket_is_made_again(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is in a bucket"):
        open_run_store("s3://bucket/store", tmp_path, again=STAGES)


def test_stage_that_would_not_fit_on_the_disk_fails_before_it_writes(tmp_path: Path) -> None:
    store = open_run_store(tmp_path, tmp_path)
    with (
        needing(Needs(stage="assemble", disk_bytes=1 << 60)),
        pytest.raises(RoomError, match=r"stage 'assemble'.*MiB"),
    ):
        make(store, "first", "assemble")
    assert not list(tmp_path.rglob("text"))


def test_hit_needs_no_room(first: Manifest, tmp_path: Path) -> None:
    with needing(Needs(stage="generate", disk_bytes=1 << 60)):
        assert make(open_run_store(tmp_path, tmp_path), "second").cached


@pytest.fixture
def one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvidia-smi that says that 4096 MiB are free."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 4096\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")


def test_full_gpu_is_named_with_what_is_free_and_needed(one_gpu: None) -> None:
    assert free_gpu_bytes() == 4096 << 20
    check_gpu(Needs(stage="finetune", disk_bytes=0, gpu_bytes=4096 << 20))
    with pytest.raises(RoomError, match=r"needs about 5000 MiB on GPU 0, where 4096 MiB"):
        check_gpu(Needs(stage="finetune", disk_bytes=0, gpu_bytes=5000 << 20))
