"""The curves of all policies in the report: in one picture, a picture each, in tables, and as files."""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evaluate.config import EvaluateConfig
from evaluate.export import write_exports
from evaluate.report import PolicyCurve, ReportData, report_html
from evaluate.report.policy_charts import front, latency_grid, policy_chart, policy_panels, readings
from evaluate.report.spread import measure_spread
from flows.policy_curves import policy_curves
from tests.evaluate.synthetic import invent_curve, invent_utterances

CONFIG = EvaluateConfig.model_validate(
    {
        "chunk_ms": [320, 640, 960],
        "base_chunk_ms": [],
        "include_offline": False,
        "bootstrap_resamples": 40,
        "policies": [
            {"kind": "simulsa"},
            {"kind": "wait-k", "k": [1, 2, 3], "systems": ["base", "simulsa"]},
            {"kind": "retranslation", "chunk_ms": [320, 640, 960]},
        ],
    }
)
INVENTED = {
    "base": [(-200, 0.4), (400, 0.6), (900, 0.8)],
    "control": [(-150, 0.4), (420, 0.6), (950, 0.8)],
    "simulsa": [(0, 0.8), (500, 0.9), (1000, 0.95)],
    "base+wait-k": [(800, 0.7), (1200, 0.9), (1600, 0.97)],
    "simulsa+wait-k": [(850, 0.8), (1250, 0.93), (1650, 0.98)],
    "base+retranslation": [(-100, 0.7), (300, 0.9), (600, 0.96)],
}
ERASURE = 0.75


@cache
def policy_data() -> ReportData:
    """Six curves as a run leaves them: points as JSON, re-translation alone takes words back."""
    utterances = invent_utterances(40)
    scored = {name: invent_curve(utterances, points, seed=3) for name, points in INVENTED.items()}
    own = {name: [s.point for s in points] for name, points in scored.items() if "+" not in name}
    others = {
        name: [
            {
                "knob": f"knob {i}", **s.point.to_json(),
                "normalized_erasure": ERASURE if "retranslation" in name else 0.0,
            }
            for i, s in enumerate(points)
        ]
        for name, points in scored.items()
        if "+" in name
    }  # fmt: skip
    scores = {
        "curves": {name: [p.to_json() for p in points] for name, points in own.items()},
        "policies": others,
    }
    return ReportData(
        title="policies",
        curves=own,
        equal_latency=[],
        ceiling=scored["simulsa"][0].point,
        policies=policy_curves(CONFIG.curves(), scores, {name: [[]] * 3 for name in scored}),
        policy_spread=measure_spread(scored, CONFIG, treatment=None),
    )


def names(curves: Sequence[PolicyCurve]) -> list[str]:
    return [curve.name for curve in curves]


def test_curves_come_policy_by_policy_with_the_settings_of_their_knobs() -> None:
    curves = policy_data().policies
    assert names(curves) == [
        "base", "control", "simulsa", "base+wait-k", "simulsa+wait-k", "base+retranslation"
    ]  # fmt: skip
    assert {curve.policy for curve in curves[:3]} == {"simulsa"}
    assert curves[3].knobs == ("k=1", "k=2", "k=3")
    assert (curves[4].system, curves[4].policy) == ("simulsa", "wait-k")
    assert [s["normalized_erasure"] for s in curves[5].scores] == [ERASURE] * 3


def test_a_run_without_other_policies_has_no_policy_curves() -> None:
    assert policy_curves(CONFIG.curves(), {"curves": {}, "policies": {}}, {}) == []
    html = report_html(replace(policy_data(), policies=(), policy_spread=None))
    assert 'id="policies"' not in html
    assert "<fieldset>" not in html


def test_the_common_picture_has_every_curve_in_its_systems_colour_and_its_policys_dashes() -> None:
    data = policy_data()
    chart = policy_chart(data.policies, data.ceiling, data.policy_spread)
    assert chart is not None
    assert [series.name for series in chart.series] == [*names(data.policies), "ceiling"]
    drawn = report_html(data).split('data-name="simulsa+wait-k"')[1]
    line = re.search(r'<polyline[^>]*stroke="(#\w+)"[^>]*stroke-dasharray="([^"]+)"', drawn)
    assert line is not None
    assert line.groups() == ("#0a7a61", "7 4")


def test_markers_say_system_policy_knob_and_what_was_taken_back() -> None:
    data = policy_data()
    chart = policy_chart(data.policies, None, data.policy_spread)
    assert chart is not None
    tips = {series.name: series.markers[0].tip for series in chart.series}
    assert tips["simulsa+wait-k"].startswith("simulsa, wait-k, k=1: BLEU ")
    assert tips["base+retranslation"].endswith("; 0.75 units taken back for one that stayed")
    assert "taken back" not in tips["base"]


def test_every_policy_has_a_panel_and_all_panels_have_the_same_axes() -> None:
    data = policy_data()
    panels = policy_panels(data.policies, data.ceiling, data.policy_spread)
    assert [panel.title for panel in panels] == ["simulsa", "wait-k", "retranslation"]
    assert [[s.system for s in panel.series] for panel in panels] == [
        ["base", "control", "simulsa", "ceiling"], ["base", "simulsa", "ceiling"], ["base", "ceiling"]
    ]  # fmt: skip
    assert len({(panel.x_range, panel.x_ticks, panel.y_ticks, panel.front) for panel in panels}) == 1
    assert all(series.band for panel in panels for series in panel.series if series.system != "ceiling")


def test_the_front_climbs_and_no_point_lies_above_it() -> None:
    data = policy_data()
    stairs = front(data.policies, data.policy_spread)
    assert stairs == sorted(stairs)
    assert [bleu for _, bleu in stairs] == sorted(bleu for _, bleu in stairs)
    for point in (point for curve in data.policies for point in curve.points):
        assert point.bleu <= max(bleu for laal_ms, bleu in stairs if laal_ms <= point.laal_ms)


def test_curves_are_read_between_their_streamed_points_only() -> None:
    [curve] = [curve for curve in policy_data().policies if curve.name == "base+wait-k"]
    first, second = curve.points[:2]
    whole = replace(first, chunk_ms=None, laal_ms=4000.0, bleu=99.0)
    between = (first.laal_ms + second.laal_ms) / 2
    [reading] = readings([replace(curve, points=(*curve.points, whole))], [0.0, between, 3000.0])
    assert reading.bleu == (None, pytest.approx((first.bleu + second.bleu) / 2), None)
    assert latency_grid([]) == []


def test_erasure_is_a_column_only_where_a_policy_revises() -> None:
    data = policy_data()
    assert "<th>erasure</th>" in report_html(data)
    appending = [curve for curve in data.policies if curve.policy != "retranslation"]
    assert "<th>erasure</th>" not in report_html(replace(data, policies=appending))


def test_the_files_have_every_point_every_band_and_a_picture_that_stands_alone(tmp_path: Path) -> None:
    data = policy_data()
    write_exports(data, [], tmp_path)
    with (tmp_path / "policies.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["system"], r["policy"], r["knob"]) for r in rows[9:11]] == [
        ("base", "wait-k", "k=1"), ("base", "wait-k", "k=2")
    ]  # fmt: skip
    assert len(rows) == 18
    assert rows[-1]["normalized_erasure"] == "0.75"
    with (tmp_path / "curves.csv").open(encoding="utf-8", newline="") as file:
        assert {row["system"] for row in csv.DictReader(file)} == {
            c.name for c in data.policies if "+" in c.name
        }
    root = ElementTree.fromstring((tmp_path / "policies.svg").read_text(encoding="utf-8"))
    titles = [text.text for text in root.findall(".//{*}text") if text.get("font-weight")]
    assert titles == ["simulsa", "wait-k", "retranslation"]


def test_files_of_an_earlier_run_with_policies_do_not_stay(tmp_path: Path) -> None:
    write_exports(policy_data(), [], tmp_path)
    write_exports(replace(policy_data(), policies=(), policy_spread=None), [], tmp_path)
    assert not list(tmp_path.glob("policies.*"))
