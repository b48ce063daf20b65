"""The store in a bucket, against a real S3 server on loopback: what counts, and when, is what it is on a disk."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.journal import FileJournal
from tasks.store import RemoteStore, StoreError, open_store, stage_key
from tasks.store.objects import Bucket
from tests.support.s3 import KEY, S3, SECRET, s3_server

pytestmark = pytest.mark.slow

INPUTS = {"seed": 7, "text": "Füße"}
KEY_OF_INPUTS = stage_key("stage", 1, INPUTS)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as server:
        yield server


@pytest.fixture
def url(s3: S3) -> str:
    return s3.url(uuid.uuid4().hex)


def write_hello(out: Path) -> dict[str, int]:
    (out / "part").mkdir()
    (out / "part" / "hello.txt").write_text("hello")
    (out / "other.txt").write_text("other")
    return {"rows": 1}


def forbidden(out: Path) -> dict[str, int]:
    raise AssertionError("a hit must not be written again")


def machine(tmp_path: Path, name: str, url: str) -> RemoteStore:
    """A machine of its own: nothing but the bucket is shared."""
    return RemoteStore(url, tmp_path / name)


def prefix_of(s3: S3, url: str) -> str:
    return url.removeprefix(f"s3://{s3.bucket}/")


def test_another_machine_reads_back_and_fetches_only_the_file_it_asks_for(tmp_path: Path, url: str) -> None:
    made = machine(tmp_path, "one", url).ensure("stage", 1, INPUTS, write_hello)
    found = machine(tmp_path, "two", url).ensure("stage", 1, INPUTS, forbidden)
    assert (found.cached, found.digest, found.info) == (True, made.digest, {"rows": 1})
    assert not list((tmp_path / "two").rglob("*.txt"))
    assert found.path("part/hello.txt").read_text() == "hello"
    assert [path.name for path in (tmp_path / "two").rglob("*.txt")] == ["hello.txt"]
    assert sorted(path.name for path in found.directory.rglob("*.txt")) == ["hello.txt", "other.txt"]


def test_manifest_travels_to_another_process_without_its_files(tmp_path: Path, url: str) -> None:
    made = machine(tmp_path, "one", url).ensure("stage", 1, INPUTS, write_hello)
    text = pickle.dumps(machine(tmp_path, "two", url).lookup(made.key))
    assert not list((tmp_path / "two").rglob("*.txt"))
    assert pickle.loads(text).path("other.txt").read_text() == "other"


def test_fresh_manifest_is_of_use_on_a_machine_without_the_files(tmp_path: Path, url: str) -> None:
    made = machine(tmp_path, "one", url).ensure("stage", 1, INPUTS, write_hello)
    shutil.rmtree(tmp_path / "one")
    assert pickle.loads(pickle.dumps(made)).path("other.txt").read_text() == "other"


def test_configurations_of_one_run_on_two_machines_keep_what_each_stands_on(tmp_path: Path, url: str) -> None:
    earlier = b'{"configuration":"c0","keys":["zero"]}'
    Bucket(url).write("runs/mine.json", earlier)  # as an earlier version wrote it
    for name in ("one", "two"):
        store = machine(tmp_path, name, url)
        store.used[name] = None
        store.remember_run("mine", f"c-{name}")
        store.remember_run("my", "c1")
    assert {run: sorted(keys) for run, keys in store.run_records().items()} == {
        "mine": ["one", "two", "zero"], "my": ["one", "two"],
    }  # fmt: skip
    store.forget_run("mine")
    assert list(store.run_records()) == ["my"]


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_damaged_output_is_set_aside_and_rebuilt(tmp_path: Path, s3: S3, url: str, damage: str) -> None:
    made = machine(tmp_path, "one", url).ensure("stage", 1, INPUTS, write_hello)
    bucket = Bucket(url)
    name = f"objects/{made.key}/{made.attempt}/part/hello.txt"
    if damage == "truncate":
        bucket.write(name, b"hell")
    elif damage == "remove":
        bucket.delete([name])
    else:
        bucket.write(f"objects/{made.key}/manifest.json", b'{"key": "cut sho')
    again = machine(tmp_path, "two", url).ensure("stage", 1, INPUTS, write_hello)
    assert again.cached is False
    assert any("manifest.damaged-" in name for name in s3.names(prefix_of(s3, url)))
    assert machine(tmp_path, "three", url).ensure("stage", 1, INPUTS, forbidden).path("other.txt").exists()


def test_same_size_damage_is_never_handed_out(tmp_path: Path, url: str) -> None:
    made = machine(tmp_path, "one", url).ensure("stage", 1, INPUTS, write_hello)
    Bucket(url).write(f"objects/{made.key}/{made.attempt}/part/hello.txt", b"HELLO")
    found = machine(tmp_path, "two", url).ensure("stage", 1, INPUTS, forbidden)
    with pytest.raises(StoreError, match="damaged: its manifest is set aside"):
        found.path("part/hello.txt")
    assert machine(tmp_path, "two", url).lookup(made.key) is None


def test_digests_are_compared_where_that_is_asked_for(tmp_path: Path, url: str) -> None:
    made = machine(tmp_path, "one", url).ensure("stage", 1, INPUTS, write_hello)
    assert machine(tmp_path, "two", url).lookup(made.key, verify="sha256") is not None
    Bucket(url).write(f"objects/{made.key}/{made.attempt}/other.txt", b"OTHER")
    assert machine(tmp_path, "two", url).lookup(made.key, verify="sha256") is None


def test_first_writer_wins_and_the_other_removes_what_it_uploaded(tmp_path: Path, s3: S3, url: str) -> None:
    def slow(out: Path) -> dict[str, int]:
        machine(tmp_path, "fast", url).ensure("stage", 1, INPUTS, write_hello)
        (out / "late.txt").write_text("late")
        return {"rows": 2}

    made = machine(tmp_path, "slow", url).ensure("stage", 1, INPUTS, slow)
    assert (made.cached, made.info) == (True, {"rows": 1})
    assert not [name for name in s3.names(prefix_of(s3, url)) if "late" in name]
    assert made.path("other.txt").read_text() == "other"


def test_two_processes_at_once_have_one_winner(tmp_path: Path, s3: S3, url: str) -> None:
    script = textwrap.dedent(f"""
        import sys, pathlib
        from tasks.store import RemoteStore
        def write(out):
            print("writing", flush=True)
            sys.stdin.readline()
            (out / "who.txt").write_text(sys.argv[1])
            return {{}}
        store = RemoteStore({url!r}, pathlib.Path(sys.argv[1]))
        print(store.ensure("stage", 1, {INPUTS!r}, write).path("who.txt").read_text())
    """)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    homes = [str(tmp_path / name) for name in ("left", "right")]
    writers = [subprocess.Popen([sys.executable, "-c", script, home], **pipes) for home in homes]  # type: ignore[call-overload]
    for writer in writers:
        assert writer.stdout.readline() == "writing\n"
    answers = {writer.communicate("go\n", timeout=60)[0].strip() for writer in writers}
    assert len(answers) == 1
    assert answers <= set(homes)
    names = s3.names(prefix_of(s3, url))
    assert sum(name.endswith("who.txt") for name in names) == 1
    assert [writer.returncode for writer in writers] == [0, 0]


def test_kill_in_the_middle_of_the_upload_leaves_nothing_that_counts(
    tmp_path: Path, s3: S3, url: str
) -> None:
    script = textwrap.dedent(f"""
        import os, pathlib, signal
        from tasks.store import RemoteStore
        from tasks.store.objects import Bucket
        def die(self, name, content):  # everything is uploaded but the manifest
            os.kill(os.getpid(), signal.SIGKILL)
        Bucket.create = die
        def write(out):
            (out / "half.txt").write_text("half")
            return {{}}
        RemoteStore({url!r}, pathlib.Path({str(tmp_path / "killed")!r})).ensure("stage", 1, {INPUTS!r}, write)
    """)
    killed = subprocess.run([sys.executable, "-c", script], check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert [n for n in s3.names(prefix_of(s3, url)) if n.endswith("half.txt")], "nothing had been uploaded"
    store = machine(tmp_path, "killed", url)
    assert store.lookup(KEY_OF_INPUTS) is None
    assert store.ensure("stage", 1, INPUTS, write_hello).cached is False


def test_write_whose_answer_was_lost_is_still_ours(
    tmp_path: Path, s3: S3, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Bucket.create

    def twice(self: Bucket, name: str, content: bytes) -> bool:
        create(self, name, content)
        return create(self, name, content)

    monkeypatch.setattr(Bucket, "create", twice)
    made = machine(tmp_path, "one", url).ensure("stage", 1, INPUTS, write_hello)
    assert made.cached is False
    assert len([n for n in s3.names(prefix_of(s3, url)) if n.endswith(".txt")]) == 2


def test_records_of_one_machine_are_read_by_the_next(tmp_path: Path, url: str) -> None:
    with FileJournal(tmp_path / "one", Bucket(url), "records/generate") as journal:
        journal.put("a", {"text": "größer"})
    other = FileJournal(tmp_path / "two", Bucket(url), "records/generate")
    assert other.get("a") == {"text": "größer"}


def test_records_are_shared_while_their_writer_goes_on(tmp_path: Path, url: str) -> None:
    writing = FileJournal(tmp_path / "one", Bucket(url), "records", segment_s=0.0)
    for number in range(3):
        writing.put(str(number), {"n": number})
        writing.flush()
    assert len(FileJournal(tmp_path / "two", Bucket(url), "records")) == 3
    assert len(Bucket(url).list("records")) == 3


def test_records_that_a_kill_left_on_a_machine_are_shared_by_its_next_process(
    tmp_path: Path, url: str
) -> None:
    script = textwrap.dedent(f"""
        import os, pathlib, signal
        from tasks.journal import FileJournal
        from tasks.store.objects import Bucket
        journal = FileJournal(pathlib.Path({str(tmp_path / "one")!r}), Bucket({url!r}), "records")
        journal.put("kept", {{"n": 1}})
        journal.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    subprocess.run([sys.executable, "-c", script], check=False, env=os.environ)
    assert not Bucket(url).list("records")
    assert FileJournal(tmp_path / "one", Bucket(url), "records").get("kept") == {"n": 1}
    assert FileJournal(tmp_path / "two", Bucket(url), "records").get("kept") == {"n": 1}


def test_no_secret_and_no_path_is_in_the_bucket_or_in_an_error(
    tmp_path: Path, s3: S3, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine(tmp_path, "one", url)
    made = store.ensure("stage", 1, INPUTS, write_hello)
    manifest = Bucket(url).read(f"objects/{made.key}/manifest.json")
    assert manifest is not None
    for word in (KEY, SECRET, str(tmp_path), s3.env["AWS_ENDPOINT_URL"]):
        assert word.encode() not in manifest
    with pytest.raises(StoreError, match="bucket does not exist") as missing:
        RemoteStore("s3://nobody-made-this/x", tmp_path / "none").lookup(KEY_OF_INPUTS)
    with pytest.raises(StoreError, match="without credentials") as embedded:
        open_store(f"s3://{KEY}:{SECRET}@bucket/x", tmp_path)
    for error in (missing, embedded):
        assert SECRET not in str(error.value)


@pytest.mark.parametrize("location", ["gs://bucket/x", "s3://", "s3://bucket/../other", "http://host/x"])
def test_address_that_is_no_bucket_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(StoreError, match="is no store"):
        open_store(location, tmp_path)
