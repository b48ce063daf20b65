"""Housekeeping removes what nobody needs, and nothing else."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.gc import collect_garbage, parse_age
from lalm.errors import SimulsaError
from tasks.run_store import open_run_store
from tasks.store import Manifest, RemoteStore, Store, StoreError
from tasks.store.objects import Bucket
from tasks.store.shelf import Directory
from tasks.store.sweep import find_removable, remove
from tests.support.s3 import s3_server

DAY = 86_400.0


class Chain:
    """Stages that build on one another in a store: a run's, and what another run left."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs
        self.store = Store(outputs / "store")

    def make(self, stage: str, inputs: dict[str, Any]) -> Manifest:
        def write(out: Path) -> dict[str, Any]:
            (out / "data.txt").write_text(f"{stage} {inputs}" * 100)
            return {}

        return self.store.ensure(stage, 1, inputs, write)

    def age(self, days: float = 40) -> None:
        """Everything in the store becomes this much older."""
        then = time.time() - days * DAY
        for path in sorted(self.outputs.rglob("*")):
            os.utime(path, (then, then))


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "outputs")


def left(chain: Chain) -> set[str]:
    return {path.parent.name for path in chain.store.objects.glob("*/manifest.json")}


def gc(chain: Chain, **options: Any) -> dict[str, Any]:
    return collect_garbage(str(chain.outputs), **options)


def export_of(chain: Chain, run: str, made: Manifest) -> None:
    """The run's directory, as a flow lays it out."""
    directory = chain.outputs / run / "dataset"
    directory.mkdir(parents=True)
    (directory / ".stage-key").write_text(f"{made.key} {made.attempt}")


def test_what_a_run_stands_on_stays_with_all_it_was_made_of(chain: Chain) -> None:
    cut = chain.make("truncate", {"n": 1})
    dataset = chain.make("dataset", {"shards": [cut.digest]})
    stray = chain.make("truncate", {"n": 2})
    export_of(chain, "mine", dataset)
    chain.age()
    shown = gc(chain)
    assert [thing["key"] for thing in shown["things"]] == [stray.key]
    assert left(chain) == {cut.key, dataset.key, stray.key}, "showing must not delete"
    assert gc(chain, delete=True)["bytes"] == shown["bytes"] > 1000
    assert left(chain) == {cut.key, dataset.key}
    assert not (chain.store.objects / stray.key).exists()


def test_record_of_a_run_keeps_what_is_not_exported_until_its_directory_goes(chain: Chain) -> None:
    scores = chain.make("score", {"n": 1})
    chain.store.remember_run("mine", "c1")
    (chain.outputs / "mine").mkdir()
    chain.age()
    assert gc(chain, delete=True)["things"] == []
    (chain.outputs / "mine").rmdir()
    assert [thing["key"] for thing in gc(chain, delete=True)["things"]] == [scores.key]


def test_commands_of_one_configuration_add_up_and_another_one_begins_anew(chain: Chain) -> None:
    first = chain.make("truncate", {"n": 1})
    chain.store.remember_run("mine", "c1")
    again = Chain(chain.outputs)
    second = again.make("truncate", {"n": 2})
    again.store.remember_run("mine", "c1")
    assert chain.store.run_records() == {"mine": [first.key, second.key]}
    again.store.remember_run("mine", "c2")
    assert chain.store.run_records() == {"mine": [second.key]}


def test_output_that_was_used_again_is_young_and_so_is_what_it_was_made_of(chain: Chain) -> None:
    cut = chain.make("truncate", {"n": 1})
    chain.make("generate", {"truncated": cut.digest})
    chain.age()
    assert chain.make("generate", {"truncated": cut.digest}).cached
    assert gc(chain, older_than="30d", delete=True)["things"] == []


def test_age_is_that_of_the_last_use(chain: Chain) -> None:
    chain.make("truncate", {"n": 1})
    chain.age(days=10)
    assert gc(chain, older_than="30d")["things"] == []
    assert len(gc(chain, older_than="1w")["things"]) == 1


def test_attempt_of_the_dead_goes_and_that_of_the_living_stays(chain: Chain) -> None:
    made = chain.make("truncate", {"n": 1})
    for attempt in ("0123456789ab", "ba9876543210"):
        (made.directory.parent / attempt).mkdir()
        (made.directory.parent / attempt / "half.txt").write_text("half")
    lock = made.directory.parent / "ba9876543210.lock"
    lock.touch()
    export_of(chain, "mine", made)
    assert gc(chain)["things"] == [], "younger than a day"
    chain.age()
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (thing,) = gc(chain, delete=True)["things"]
    assert (thing["kind"], thing["num_bytes"]) == ("unfinished", 4)
    names = {path.name for path in made.directory.parent.iterdir()}
    assert names == {made.attempt, "manifest.json", "ba9876543210", "ba9876543210.lock"}


def test_damaged_manifests_go_when_they_are_old(chain: Chain) -> None:
    made = chain.make("truncate", {"n": 1})
    made.path("data.txt").unlink()
    assert chain.store.lookup(made.key) is None
    assert gc(chain)["things"] == []
    chain.age()
    assert {thing["kind"] for thing in gc(chain, delete=True)["things"]} == {"damaged"}


def test_checkpoints_stay_while_a_training_holds_them(chain: Chain) -> None:
    with chain.store.scratch("finetune", 1, {"n": 1}) as scratch:
        (scratch / "step-3").write_text("weights")
        chain.age()
        assert gc(chain, delete=True)["things"] == []
    chain.age()
    assert [thing["kind"] for thing in gc(chain, delete=True)["things"]] == ["checkpoints"]
    assert not scratch.exists()
    assert scratch.with_suffix(".lock").exists(), "whoever waits for it holds what the next one finds"


def long_ago(chain: Chain) -> None:
    chain.age()


def killed(chain: Chain) -> None:
    """A dead writer's lock is held by nobody; one that is gone is not held either."""
    for lock in chain.store.objects.rglob("*.lock"):
        lock.unlink()


@pytest.mark.parametrize("meanwhile", [long_ago, killed])
def test_output_that_is_being_made_again_keeps_its_files(
    chain: Chain, meanwhile: Callable[[Chain], None]
) -> None:
    made = chain.make("truncate", {"n": 1})
    chain.age()

    def write(_: Path) -> dict[str, Any]:
        meanwhile(chain)
        assert gc(chain, delete=True)["things"] == []
        raise ValueError("broken")

    store = open_run_store(chain.store.root, chain.outputs, again=["truncate"])
    with pytest.raises(ValueError, match="broken"):
        store.ensure("truncate", 1, {"n": 1}, write)
    assert chain.make("truncate", {"n": 1}).cached
    assert made.path("data.txt").exists()


def test_output_that_a_rerun_took_up_between_finding_and_deleting_stays(chain: Chain) -> None:
    made = chain.make("truncate", {"n": 1})
    chain.age()
    found = find_removable(chain.store, (), timedelta())

    def write(_: Path) -> dict[str, Any]:
        assert remove(found) == []
        raise ValueError("broken")

    store = open_run_store(chain.store.root, chain.outputs, again=["truncate"])
    with pytest.raises(ValueError, match="broken"):
        store.ensure("truncate", 1, {"n": 1}, write)
    assert made.path("data.txt").exists()


def test_removal_of_what_is_gone_already_is_none(chain: Chain) -> None:
    made = chain.make("truncate", {"n": 1})
    shelf = Directory(chain.store.root)
    shelf.delete([f"objects/{made.key}/gone/file"])
    shelf.delete([f"objects/{made.key}/{name}" for name in shelf.list(f"objects/{made.key}")])
    assert list(chain.store.objects.iterdir()) == []


@pytest.fixture
def sharing(chain: Chain) -> Store:
    """A store whose bucket is a directory: housekeeping asks nothing more of either."""
    store = Store(chain.outputs / "copies")
    store.bucket = Directory(chain.store.root)  # type: ignore[assignment]
    return store


def test_use_that_a_bucket_has_not_noted_yet_counts(chain: Chain, sharing: Store) -> None:
    chain.make("truncate", {"n": 1})
    chain.age(days=1.5)  # a hit since then may have been less than a day after the last note
    assert find_removable(sharing, (), timedelta()) == []
    chain.age(days=2.5)
    assert [thing.kind for thing in find_removable(sharing, (), timedelta())] == ["output"]


def test_copies_of_what_a_run_stands_on_stay(chain: Chain, sharing: Store) -> None:
    for key in ("kept", "stray"):
        copy = sharing.objects / key / "0123456789ab" / "data.txt"
        copy.parent.mkdir(parents=True)
        copy.write_text("data")
    chain.age()
    assert [(thing.kind, thing.key) for thing in find_removable(sharing, {"kept"}, timedelta())] == [
        ("copy", "stray")
    ]


def test_output_that_is_used_between_finding_and_deleting_stays(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = chain.make("truncate", {"n": 1})
    chain.age()
    import flows.gc as module

    remove = module.remove

    def used_meanwhile(found: Any) -> Any:
        assert chain.make("truncate", {"n": 1}).cached
        return remove(found)

    monkeypatch.setattr(module, "remove", used_meanwhile)
    assert gc(chain, delete=True)["things"] == []
    assert made.path("data.txt").exists()


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1y", "1.5d", ""])
def test_age_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SimulsaError, match="a number and h, d or w"):
        parse_age(text)


def test_unknown_run_is_not_forgotten(chain: Chain) -> None:
    with pytest.raises(SimulsaError, match="--forget nobody: no such run"):
        gc(chain, forget=["nobody"])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server(monkeypatch) as s3:
        yield s3.url("shared")


@pytest.mark.slow
def test_bucket_keeps_a_run_of_any_machine_until_it_is_forgotten(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.store.sweep.YOUNGEST", -parse_age("1h"))  # S3 says when an object was written
    monkeypatch.setattr("tasks.store.sweep.USED_AGAIN", timedelta())
    there = RemoteStore(f"{bucket}/store", tmp_path / "another machine")
    kept, stray = (_make(there, number) for number in (1, 2))
    there.used.pop(stray.key)
    there.remember_run("theirs", "c1")
    (thing,) = collect_garbage(bucket, older_than="0h", delete=True)["things"]
    assert (thing["kind"], thing["key"]) == ("output", stray.key)
    assert not [name for name in Bucket(bucket).list("store/objects") if name.startswith(stray.key)]
    gone = collect_garbage(bucket, older_than="0h", forget=["theirs"], delete=True)
    assert [thing["key"] for thing in gone["things"]] == [kept.key]
    assert collect_garbage(bucket)["runs"] == []
    with pytest.raises(StoreError, match="cannot be used"):
        RemoteStore(f"{bucket}/store", tmp_path / "third")._place(kept.key, kept.attempt).fetch(kept.files)


def _make(store: Store, number: int) -> Manifest:
    def write(out: Path) -> dict[str, Any]:
        (out / "data.txt").write_text("data")
        return {}

    return store.ensure("truncate", 1, {"n": number}, write)


@pytest.mark.slow
def test_command_shows_and_then_deletes(chain: Chain, tmp_path: Path) -> None:
    chain.make("truncate", {"n": 1})
    chain.age()
    code = "from flows.commands import gc; from flows.cli import main; main()"
    command = [sys.executable, "-c", code, "gc", "tiny", "--set", f"outputs={chain.outputs}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "can go" in shown
    assert "next: the same command with --yes" in shown
    answer = json.loads(subprocess.run([*command, "--yes", "--json"], capture_output=True, check=True).stdout)
    assert (answer["deleted"], len(answer["things"])) == (True, 1)
    assert left(chain) == set()
