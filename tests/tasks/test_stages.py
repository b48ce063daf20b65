"""The stages together: hits, damaged audio counted, other batch sizes, growing corpora."""

from pathlib import Path

import pyarrow.parquet as pq

from augment.records import read_records
from augment.schema import Rejection
from tasks.store import Manifest
from tests.support.stages import Bench, make_bench


def texts(made: dict[str, list[Manifest]]) -> dict[str, str]:
    """Partial texts by id over all shards."""
    rows = [row for m in made["generate"] for row in pq.read_table(m.path("partial.parquet")).to_pylist()]
    return {row["id"]: row["text"] for row in rows}


def test_second_pass_over_every_stage_is_all_hits_and_loads_no_weights(tmp_path: Path) -> None:
    make_bench(tmp_path).run()
    again = make_bench(tmp_path)
    made = again.run()
    assert all(manifest.cached for parts in made.values() for manifest in parts)
    assert "_loaded" not in vars(again.workspace)


def test_batch_size_changes_no_text(tmp_path: Path) -> None:
    one = make_bench(tmp_path / "one", batch_size=1).run()
    many = make_bench(tmp_path / "many", batch_size=16).run()
    assert texts(one) == texts(many)


def test_corpus_that_grows_issues_requests_for_new_utterances_only(tmp_path: Path) -> None:
    small = make_bench(tmp_path, utterances=12)
    before = texts(small.run())
    grown = make_bench(tmp_path, utterances=16)
    after = texts(grown.run())
    scratch = texts(make_bench(tmp_path / "scratch", utterances=16).run())
    assert before.items() < after.items()
    assert after == scratch
    generate = grown.workspace.engine("generate")
    assert generate.replayed >= len(before)


def test_damaged_audio_is_counted_and_the_balance_holds(tmp_path: Path) -> None:
    bench: Bench = make_bench(tmp_path, utterances=12)
    clips = sorted((tmp_path / "corpus" / "clips").glob("*train*"))
    assert len(clips) == 12
    for number, clip in enumerate(clips):
        if number % 3 == 0:
            clip.write_bytes(b"")
        elif number % 3 == 1:
            clip.unlink()
    info = bench.run()["dataset"][0].info
    assert info["selected"] == info["rows"] + info["rejected_later"]
    assert set(info["rejected"]) == {"truncate.audio_empty_file", "truncate.audio_missing"}


def test_every_rejection_is_a_row_of_the_dataset(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, utterances=12)
    (tsv,) = (tmp_path / "corpus").glob("*train*.tsv")
    with tsv.open("a") as file:
        file.write("only-one-cell\n")
    dataset = bench.run()["dataset"][0]
    reasons = [r.reason for r in read_records(dataset.path("rejected.parquet"), Rejection)]
    assert reasons == ["malformed_line"]
    assert (dataset.info["input"], dataset.info["rejected_at_read"]) == (13, 1)
