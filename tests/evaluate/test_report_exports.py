"""The files beside the page: CSV that says what the page says, and curves as a picture of their own."""

import csv
import math
import os
import re
import struct
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluate.config import EvaluateConfig
from evaluate.curves import score_traces
from evaluate.export import measure_utterances, point_scores, write_csv, write_exports
from evaluate.latency import length_adaptive_lagging
from evaluate.png import why_no_png
from evaluate.regimes import rules_for
from evaluate.report import ReportData
from evaluate.report.charts import FULL
from evaluate.report.spread import measure_spread
from evaluate.significance import compare_at_equal_latency
from evaluate.trace import Emission, Step, StreamTrace
from tests.evaluate.scripted import spoken

UTTERANCES = [spoken(f"u{i}", 4000, f"eins zwei drei vier{i}") for i in range(12)]
CONFIG = EvaluateConfig(bootstrap_resamples=40)


def trace(i: int, chunk_ms: int, words: str) -> StreamTrace:
    """One word per chunk."""
    delays = [min(float(chunk_ms * (k + 1)), 4000.0) for k in range(len(words.split()))]
    return StreamTrace(
        id=f"u{i}",
        chunk_ms=chunk_ms,
        source_ms=4000.0,
        text=words,
        emissions=tuple(Emission(unit=w, delay_ms=d) for w, d in zip(words.split(), delays, strict=True)),
        steps=tuple(Step(audio_ms=d, token_ids=(k,)) for k, d in enumerate(delays)),
    )


def exported(directory: Path) -> ReportData:
    outputs = {"base": "eins zwei falsch fünf", "simulsa": "eins zwei drei vier"}
    streamed = {
        system: [
            [trace(i, chunk, "" if i == 3 and system == "base" else f"{words}{i}") for i in range(12)]
            for chunk in (500, 900)
        ]
        for system, words in outputs.items()
    }
    measured = {
        system: [measure_utterances(system, traces, UTTERANCES, "word") for traces in points]
        for system, points in streamed.items()
    }
    curves = {
        system: [score_traces(traces, UTTERANCES, tgt_lang="de", unit="word") for traces in points]
        for system, points in streamed.items()
    }
    data = ReportData(
        title="Run <&>",
        curves={system: [scored.point for scored in points] for system, points in curves.items()},
        equal_latency=compare_at_equal_latency(curves, CONFIG),
        spread=measure_spread(curves, CONFIG),
        scores={system: [point_scores(point) for point in points] for system, points in measured.items()},
        rules=rules_for("en", "de"),
    )
    write_exports(data, [u for points in measured.values() for point in points for u in point], directory)
    return data


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_utterance_of_every_point_has_a_row_with_its_own_latency(tmp_path: Path) -> None:
    exported(tmp_path)
    found = rows(tmp_path / "utterances.csv")
    assert len(found) == 2 * 2 * 12
    [row] = [r for r in found if (r["system"], r["chunk_ms"], r["id"]) == ("simulsa", "900", "u7")]
    expected = length_adaptive_lagging([900, 1800, 2700, 3600], 4000, 4)
    assert float(row["LAAL"]) == pytest.approx(expected)
    assert float(row["chrf"]) == 100.0
    assert row["text"] == row["reference"] == "eins zwei drei vier7"


def test_silence_is_an_empty_cell_and_columns_without_values_are_left_out(tmp_path: Path) -> None:
    exported(tmp_path)
    found = rows(tmp_path / "utterances.csv")
    [row] = [r for r in found if (r["system"], r["chunk_ms"], r["id"]) == ("base", "500", "u3")]
    assert (row["text"], row["LAAL"], row["chrf"]) == ("", "", "0.0")
    assert "LAAL_CA" not in row  # no step knows its compute
    assert "failure" not in row


def test_points_have_intervals_regimes_and_all_latency_metrics(tmp_path: Path) -> None:
    data = exported(tmp_path)
    found = rows(tmp_path / "points.csv")
    assert [(row["system"], row["chunk_ms"]) for row in found] == [
        ("base", "500"), ("base", "900"), ("simulsa", "500"), ("simulsa", "900")
    ]  # fmt: skip
    last = data.curves["simulsa"][1]
    assert float(found[3]["bleu"]) == pytest.approx(last.bleu, abs=1e-6)
    assert float(found[3]["bleu_low"]) <= last.bleu
    assert (found[3]["iwslt_2025"], found[3]["iwslt_2026"]) == ("low", "low")
    assert {"AL", "LAAL", "DAL", "AP", "ATD", "YAAL", "LAAL_penalised", "NumChunks"} <= found[3].keys()
    assert float(found[0]["LAAL_penalised"]) > float(found[0]["LAAL"])


def test_percentiles_of_a_point_are_of_all_lags_and_no_mean_of_percentiles() -> None:
    traces = [trace(0, 1000, "eins zwei drei vier"), trace(1, 3000, "spät")]  # lags of 1 s, and one of 3 s
    scores = point_scores(measure_utterances("base", traces, UTTERANCES[:2], "word"))
    assert scores["lag_p50"] == 1000.0


def test_differences_and_fixed_latencies_are_those_of_the_report(tmp_path: Path) -> None:
    data = exported(tmp_path)
    differences = rows(tmp_path / "differences.csv")
    assert {row["at"] for row in differences} == {"laal_ms", "chunk_ms"}
    assert len([row for row in differences if row["at"] == "laal_ms"]) == len(data.equal_latency) > 0
    assert data.spread
    curves = [row for row in rows(tmp_path / "curves.csv") if row["system"] == "simulsa"]
    assert [float(row["laal_ms"]) for row in curves] == list(data.spread.bands["simulsa"].laal_ms)


def test_the_picture_is_well_formed_and_stands_alone(tmp_path: Path) -> None:
    exported(tmp_path)
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "Run <&>: BLEU over LAAL"
    assert len(root.findall(".//{*}polyline")) == 2
    assert len(root.findall(".//{*}polygon")) == 2
    assert "currentColor" not in text


def test_an_utterance_without_audio_has_a_row_and_no_latency(tmp_path: Path) -> None:
    [measured] = measure_utterances(
        "base", [replace(trace(0, 500, ""), source_ms=0.0, failure="audio_missing: gone")],
        [spoken("u0", 0, "eins")], "word",
    )  # fmt: skip
    assert dict(measured.scores) == {}
    assert all(math.isnan(value) for value in point_scores([measured]).values())


@pytest.mark.parametrize("text", ["=1+1", "+49", "-rm", "@SUM(A1)", "\tx", "\rx", "\nx", "\0x", "＝1", "'=x"])
def test_no_text_of_a_model_is_a_formula_in_a_spreadsheet(tmp_path: Path, text: str) -> None:
    write_csv(tmp_path / "t.csv", [{"id": "u0", "text": text}])
    assert rows(tmp_path / "t.csv") == [{"id": "u0", "text": f"'{text}"}]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text("=+-@\t '\"a,", max_size=6))
def test_taking_the_apostrophe_away_gives_the_text_back(tmp_path: Path, text: str) -> None:
    write_csv(tmp_path / "t.csv", [{"id": "u0", "text": text}])
    cell = rows(tmp_path / "t.csv")[0].get("text", "")
    assert (cell[1:] if re.match("'+[=+\\-@\t]", cell) else cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t"))


def test_numbers_below_zero_stay_numbers(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"laal_ms": -12.5, "text": "-12.5"}])
    assert rows(tmp_path / "t.csv") == [{"laal_ms": "-12.5", "text": "'-12.5"}]


def test_order_is_a_score_of_every_utterance_and_point(tmp_path: Path) -> None:
    exported(tmp_path)
    by_id = {(r["system"], r["chunk_ms"], r["id"]): r for r in rows(tmp_path / "utterances.csv")}
    assert (by_id["simulsa", "500", "u7"]["monotonicity"], by_id["simulsa", "500", "u7"]["matched"]) == (
        "1.0",
        "1.0",
    )
    assert by_id["base", "500", "u3"]["monotonicity"] == ""  # nothing was written
    assert by_id["base", "500", "u7"]["matched"] == "0.5"  # of eins zwei falsch fünf, two
    assert {row["monotonicity"] for row in rows(tmp_path / "points.csv")} == {"1.0"}


def test_the_picture_comes_as_png_too_and_does_not_outlive_its_maker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_resvg()
    exported(tmp_path)
    png = (tmp_path / "curves.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (2 * FULL.width, 2 * FULL.height)
    monkeypatch.setattr("evaluate.png.find_spec", lambda _: None)
    exported(tmp_path)
    assert (tmp_path / "curves.svg").exists()
    assert not (tmp_path / "curves.png").exists()


def test_without_resvg_or_without_a_font_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    require_resvg()
    assert why_no_png() is None
    monkeypatch.setattr(
        "evaluate.png._LETTERS", "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
    )
    assert "no font" in (why_no_png() or "")
    monkeypatch.setattr("evaluate.png.find_spec", lambda _: None)
    assert "pip install 'resvg-py" in (why_no_png() or "")


def require_resvg() -> None:
    """Skip where resvg is not installed; in CI its absence is a failure."""
    if find_spec("resvg_py") is None:
        reason = "resvg-py is missing, so no PNG is drawn: pip install -e '.[png]'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def test_columns_come_in_order_of_appearance_and_text_stays_as_it_is(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"a": 1, "b": 'x, "y"\nz'}, {"a": None, "c": 0.1234567, "d": math.nan}])
    assert rows(tmp_path / "t.csv") == [
        {"a": "1", "b": 'x, "y"\nz', "c": ""}, {"a": "", "b": "", "c": "0.123457"}
    ]  # fmt: skip
