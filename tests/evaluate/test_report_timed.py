"""Latency with computing, and COMET scores, in the report: what was measured, on what, and in files of their own."""

import csv
from pathlib import Path

from evaluate.export import write_exports
from evaluate.report import ReportData, report_html
from flows.neural_points import neural_points
from flows.timed_points import timed_facts, timed_points
from tests.evaluate.test_report import Outline

POINT = {
    "chunk_ms": 640, "n_utterances": 20, "n_failed": 0, "LAAL": 430.4, "LAAL_CA": 512.6,
    "lag_p50_CA": 480.0, "lag_p90_CA": None, "RTF": 0.123,
}  # fmt: skip
TIMED = {
    "unit": "word", "engine": {"kind": "transformers"}, "hardware": {"cpu": "A <fast> one", "threads": 2},
    "warm_up": 2, "coalesce": False, "curves": {"base": [POINT], "simulsa": [POINT, {**POINT, "chunk_ms": 1280}]},
}  # fmt: skip


def data() -> ReportData:
    return ReportData(
        title="timed", curves={}, equal_latency=[], timed=timed_points(TIMED), timed_facts=timed_facts(TIMED)
    )


def test_both_clocks_and_the_machine_are_shown() -> None:
    text = " ".join(" ".join(Outline(report_html(data())).texts).split())
    assert "simulsa 640 ms 20 430 513 480 – – 0.12" in text
    assert "A <fast> one" in text
    assert "warm-up utterances 2, not measured" in text
    assert "its own audio only" in text


def test_a_run_that_timed_nothing_has_no_such_section(tmp_path: Path) -> None:
    empty = ReportData(title="untimed", curves={}, equal_latency=[])
    assert "With computing" not in report_html(empty)
    write_exports(data(), [], tmp_path)
    write_exports(empty, [], tmp_path)
    assert not (tmp_path / "timed.csv").exists()


def test_timed_scores_are_a_table_of_their_own(tmp_path: Path) -> None:
    write_exports(data(), [], tmp_path)
    with (tmp_path / "timed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["chunk_ms"], row["RTF"]) for row in rows] == [
        ("base", "640", "0.123"), ("simulsa", "640", "0.123"), ("simulsa", "1280", "0.123")
    ]  # fmt: skip
    assert "lag_p90_CA" not in rows[0]


def test_comet_scores_name_model_curve_and_point(tmp_path: Path) -> None:
    point = {"mean": 0.81234, "n": 3, "n_empty": 1}
    scores = {
        "curves": {"simulsa": [{"chunk_ms": 640}, {"chunk_ms": None}]},
        "neural": [
            {
                "model": "some/kiwi",
                "curves": {
                    "simulsa": [{"knob": "", **point}, {"knob": "", **point, "mean": None, "n": 0}],
                    "base+wait-k": [{"knob": "k=3", **point}],
                },
            }
        ],
    }
    scored = ReportData(title="comet", curves={}, equal_latency=[], neural=neural_points(scores))
    text = " ".join(" ".join(Outline(report_html(scored)).texts).split())
    assert "some/kiwi simulsa 640 ms 0.8123 3 1" in text
    assert "simulsa whole – 0 1" in text
    assert "base+wait-k k=3 0.8123" in text
    write_exports(scored, [], tmp_path)
    assert "some/kiwi,simulsa,640 ms,0.81234,3,1" in (tmp_path / "neural.csv").read_text(encoding="utf-8")
