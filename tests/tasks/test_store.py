"""A thing exists when its manifest exists: committed once, verified on a hit, rebuilt when damaged."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from tasks.store import Manifest, Store, StoreError, Verify, canonical_json, local, locks, stage_key

INPUTS = {"seed": 7, "text": "Füße", "nested": {"b": [1, 2.5], "a": None}}


def write_hello(out: Path) -> dict[str, int]:
    (out / "part").mkdir()
    (out / "part" / "hello.txt").write_text("hello")
    return {"rows": 1}


def forbidden(out: Path) -> dict[str, int]:
    raise AssertionError("a hit must not be written again")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_second_ensure_is_a_hit_and_writes_nothing(store: Store) -> None:
    first = store.ensure("stage", 1, INPUTS, write_hello)
    second = store.ensure("stage", 1, INPUTS, forbidden)
    assert (first.cached, second.cached) == (False, True)
    assert second.path("part/hello.txt").read_text() == "hello"
    assert (second.info, second.digest) == ({"rows": 1}, first.digest)


def test_key_depends_on_every_input_and_not_on_their_order() -> None:
    key = stage_key("stage", 1, INPUTS)
    assert stage_key("stage", 1, dict(reversed(INPUTS.items()))) == key
    others = [("other", 1, INPUTS), ("stage", 2, INPUTS), ("stage", 1, INPUTS | {"seed": 8})]
    assert key not in {stage_key(*other) for other in others}


def test_canonical_json_refuses_what_has_no_one_spelling() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("nan")})


def test_failed_write_leaves_nothing_that_counts(store: Store) -> None:
    def fail(out: Path) -> dict[str, int]:
        (out / "half.txt").write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        store.ensure("stage", 1, INPUTS, fail)
    assert not list(store.root.rglob("half.txt"))
    assert store.ensure("stage", 1, INPUTS, write_hello).cached is False


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_damaged_output_is_rebuilt(store: Store, damage: str) -> None:
    made = store.ensure("stage", 1, INPUTS, write_hello)
    file = made.path("part/hello.txt")
    if damage == "truncate":
        file.write_text("hell")
    elif damage == "remove":
        file.unlink()
    else:
        (file.parents[2] / "manifest.json").write_text('{"key": "cut sho')
    again = store.ensure("stage", 1, INPUTS, write_hello)
    assert again.cached is False
    assert again.path("part/hello.txt").read_text() == "hello"


def test_same_size_damage_is_found_when_digests_are_asked_for(store: Store) -> None:
    made = store.ensure("stage", 1, INPUTS, write_hello)
    made.path("part/hello.txt").write_text("HELLO")
    assert store.lookup(made.key) is not None
    assert store.lookup(made.key, verify="sha256") is None


def test_manifest_of_another_key_is_none(store: Store) -> None:
    made = store.ensure("stage", 1, INPUTS, write_hello)
    other = store.objects / stage_key("stage", 2, INPUTS)
    made.directory.parent.rename(other)
    assert store.lookup(other.name) is None
    assert list(other.glob("manifest.damaged-*"))


def test_read_only_store_leaves_a_damaged_output_as_it_is(store: Store) -> None:
    made = store.ensure("stage", 1, INPUTS, write_hello)
    made.path("part/hello.txt").unlink()
    assert Store(store.root, read_only=True).lookup(made.key) is None
    assert (store.objects / made.key / "manifest.json").exists()


@pytest.mark.parametrize("rebuilt", [True, False])
def test_output_that_another_process_found_damaged_first_is_left_to_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, rebuilt: bool
) -> None:
    made = store.ensure("stage", 1, INPUTS, write_hello)
    path = store.objects / made.key / "manifest.json"

    def meanwhile(manifest: Manifest, verify: Verify) -> bool:
        path.unlink()
        if rebuilt:
            path.write_text("the manifest of another attempt")
        return False

    monkeypatch.setattr(local, "_intact", meanwhile)
    assert store.lookup(made.key) is None
    assert path.exists() is rebuilt


def test_writer_whose_directory_housekeeping_removed_as_empty_makes_it_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, removed = Path.open, []

    def removed_first(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.suffix == ".lock" and not removed:
            path.parent.rmdir()
            removed.append(path.parent)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", removed_first)
    assert store.ensure("stage", 1, INPUTS, write_hello).cached is False
    assert removed


def test_first_writer_wins_and_the_other_takes_its_output(store: Store) -> None:
    def slow(out: Path) -> dict[str, int]:
        store.ensure("stage", 1, INPUTS, write_hello)  # somebody else finishes while we write
        (out / "late.txt").write_text("late")
        return {"rows": 2}

    made = store.ensure("stage", 1, INPUTS, slow)
    assert (made.cached, made.info) == (True, {"rows": 1})
    assert not list(store.root.rglob("late.txt"))


def test_output_of_a_killed_process_does_not_exist(store: Store) -> None:
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from tasks.store import Store
        def write(out):
            (out / "half.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        Store(Path({str(store.root)!r})).ensure("stage", 1, {INPUTS!r}, write)
    """)
    killed = subprocess.run([sys.executable, "-c", script], check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert list(store.root.rglob("half.txt")), "the kill came before the write: the test proves nothing"
    assert store.lookup(stage_key("stage", 1, INPUTS)) is None
    assert store.ensure("stage", 1, INPUTS, write_hello).cached is False


def test_read_only_store_names_the_missing_stage(store: Store) -> None:
    with pytest.raises(StoreError, match="'stage' has no finished output"):
        Store(store.root, read_only=True).ensure("stage", 1, INPUTS, forbidden)


def test_manifest_names_no_path_of_this_machine(store: Store) -> None:
    made = store.ensure("stage", 1, INPUTS, write_hello)
    manifest = (store.objects / made.key / "manifest.json").read_text()
    assert str(store.root) not in manifest
    assert json.loads(manifest)["files"]["part/hello.txt"]["num_bytes"] == 5


def test_scratch_outlives_its_holder_until_the_stage_is_finished(store: Store) -> None:
    with store.scratch("stage", 1, INPUTS) as scratch:
        (scratch / "checkpoint").write_text("step 3")
    with store.scratch("stage", 1, INPUTS) as scratch:
        assert (scratch / "checkpoint").read_text() == "step 3"
        store.ensure("stage", 1, INPUTS, write_hello)
    assert not scratch.exists()


def test_whoever_waits_for_scratch_can_be_told_to_stop(store: Store) -> None:
    def stop() -> None:
        raise InterruptedError("told to stop")

    with (
        store.scratch("stage", 1, INPUTS),
        pytest.raises(InterruptedError, match="told to stop"),
        Store(store.root).scratch("stage", 1, INPUTS, waiting=stop),
    ):
        raise AssertionError("two hold it")


def test_waiting_for_scratch_ends_when_its_holder_does(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_POLL_S", 0.0)
    first = store.scratch("stage", 1, INPUTS)
    first.__enter__()
    with Store(store.root).scratch("stage", 1, INPUTS, waiting=lambda: first.__exit__(None, None, None)):
        pass


def test_flows_of_one_configuration_that_end_together_lose_nothing(store: Store) -> None:
    together = threading.Barrier(8)

    def end(key: str) -> None:
        flow = Store(store.root)
        flow.used[key] = None
        together.wait()
        flow.remember_run("mine", "c1")

    threads = [threading.Thread(target=end, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.run_records()["mine"]) == [str(number) for number in range(8)]
