"""Request records survive a kill; a line cut short is asked again."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tasks.journal import FileJournal


def test_records_are_read_back_by_the_next_process(tmp_path: Path) -> None:
    with FileJournal(tmp_path) as journal:
        journal.put("a", {"logprobs": [-0.1, -1e-17], "text": "größer\n"})
    assert FileJournal(tmp_path).get("a") == {"logprobs": [-0.1, -1e-17], "text": "größer\n"}


def test_first_record_of_a_key_stays(tmp_path: Path) -> None:
    with FileJournal(tmp_path) as journal:
        journal.put("a", {"n": 1})
        journal.put("a", {"n": 2})
    assert FileJournal(tmp_path).get("a") == {"n": 1}


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    with FileJournal(tmp_path) as left, FileJournal(tmp_path) as right:
        left.put("a", {"n": 1})
        right.put("b", {"n": 2})
    assert len(FileJournal(tmp_path)) == 2


def test_flushed_records_survive_sigkill(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from tasks.journal import FileJournal
        journal = FileJournal(Path({str(tmp_path)!r}))
        journal.put("kept", {{"n": 1}})
        journal.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    killed = subprocess.run([sys.executable, "-c", script], check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert FileJournal(tmp_path).get("kept") == {"n": 1}


@given(cut=st.integers(min_value=0, max_value=200))
def test_any_cut_of_the_file_loses_at_most_the_last_record(tmp_path_factory, cut: int) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path_factory.mktemp("journal")
    with FileJournal(root) as journal:
        for number in range(4):
            journal.put(str(number), {"n": number, "text": "ä" * number})
    (path,) = root.glob("*.jsonl")
    content = path.read_bytes()[:cut]
    path.write_bytes(content)
    survivors = FileJournal(root)
    whole = content.count(b"\n")
    assert [survivors.get(str(n)) for n in range(whole)] == [{"n": n, "text": "ä" * n} for n in range(whole)]
    assert whole <= len(survivors) <= whole + 1
