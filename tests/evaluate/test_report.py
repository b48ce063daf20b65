"""The report page: self-contained, escaped, and honest in its first sentence."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from augment.schema import Counts
from evaluate.config import EvaluateConfig
from evaluate.regimes import rules_for
from evaluate.report import FailureRow, ReportData, StageRow, render_report, report_html
from evaluate.report.spread import measure_spread
from evaluate.report.timeline import build_example
from evaluate.report.verdict import comparisons, headline, signed
from evaluate.significance import Difference, EqualLatency, compare_at_equal_latency
from evaluate.trace import Emission, Step, StreamTrace
from tests.evaluate.scripted import spoken
from tests.evaluate.synthetic import invent_curve, invent_utterances

EVIL = "<script>alert('heard')</script>"
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def full_data() -> ReportData:
    utterances = invent_utterances(40)
    base = invent_curve(utterances, [(-200, 0.4), (400, 0.6), (900, 0.8)], seed=1)
    ours = invent_curve(utterances, [(0, 0.8), (500, 0.9), (1000, 0.9)], seed=2)
    curves = {"base": base, "control": base, "simulsa": ours}
    trace = StreamTrace(
        id="u0",
        chunk_ms=640,
        source_ms=4000.0,
        text=f"eins {EVIL}",
        emissions=(Emission(unit="eins", delay_ms=640.0), Emission(unit=EVIL, delay_ms=4000.0)),
        steps=(
            Step(audio_ms=640.0, token_ids=(1,)),
            Step(audio_ms=1280.0, token_ids=(), capped=True),
            Step(audio_ms=4000.0, token_ids=(2,)),
        ),
    )
    mute = StreamTrace(
        id="u0", chunk_ms=None, source_ms=4000.0, text="", emissions=(), steps=(), failure=f"engine: {EVIL}"
    )
    return ReportData(
        title=f"Run {EVIL}",
        curves={name: [scored.point for scored in points] for name, points in curves.items()},
        equal_latency=compare_at_equal_latency(curves, EvaluateConfig(bootstrap_resamples=40)),
        ceiling=ours[1].point,
        spread=measure_spread(curves, EvaluateConfig(bootstrap_resamples=40)),
        scores={name: [{"YAAL": 900.0} for _ in curves[name]] for name in curves},
        rules=rules_for("en", "de"),
        facts=(("model", EVIL),),
        counts=Counts(input=10, not_selected=6, rejected_at_read=1, selected=3, rejected_later=1, rows=2),
        rejections={"audio_missing": 1},
        dataset_facts=(("empty targets", "40 %"),),
        stages=(StageRow(name="truncate", cached=True, seconds=0.25, detail=EVIL),),
        examples=(build_example(spoken("u0", 4000, EVIL), {"base": mute, "simulsa": trace}, "word"),),
        failures=(FailureRow(system="base", chunk_ms=None, id="u0", reason=EVIL),),
    )


def test_the_page_is_well_formed_and_loads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    render_report(full_data(), path)
    html = path.read_text(encoding="utf-8")
    outline = Outline(html)
    assert not {"link", "img", "iframe", "object", "embed"} & {tag for tag, _ in outline.tags}
    assert not [attrs for _, attrs in outline.tags if {"href", "srcset", "action"} & attrs.keys()]
    sources = [attrs["src"] or "" for _, attrs in outline.tags if "src" in attrs]
    assert sources
    assert all(source.startswith("data:audio/flac;base64,") for source in sources)
    assert not re.search(r"https?://|//[a-z]+\.|url\(|@import", html)
    assert "default-src 'none'" in html


def test_no_text_of_the_data_becomes_markup() -> None:
    html = report_html(full_data())
    assert "<script>alert" not in html
    outline = Outline(html)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert sum(EVIL in text for text in outline.texts) >= 6


def test_words_stand_where_the_audio_was_and_steps_show_what_they_did() -> None:
    html = report_html(full_data())
    assert re.search(r'class="write" data-at="0.64" style="margin-left:16.0%"><time>0.64 s', html)
    assert re.search(r'class="write late" data-at="4.0" style="margin-right:0.0%"><time>4.00 s', html)
    assert list(re.findall(r'<i class="(\w+)"', html)) == ["wrote", "capped", "wrote"]


def test_a_write_says_its_lag_and_marks_what_no_reference_says() -> None:
    html = report_html(full_data())
    assert ">+0.64</small></time><b><mark" in html  # the reference says neither of the two units here
    [example] = full_data().examples
    silent, spoke = example.tracks
    assert [word.right for write in spoke.writes for word in write.words] == [False, True]
    assert [write.lag_s for write in spoke.writes] == [0.64, 4.0 - 4.0 / 2]
    assert spoke.path == ((0.0, 0.0), (16.0, 0.0), (16.0, 50.0), (100.0, 50.0), (100.0, 100.0))
    assert silent.path == ((0.0, 0.0), (100.0, 0.0))
    assert example.measures["trouble"] == 2  # a step that ran into its cap, and a failure


def test_points_carry_their_regimes_intervals_and_place_on_the_front() -> None:
    text = " ".join(" ".join(Outline(report_html(full_data())).texts).split())
    assert "LAAL ≤ 2 s" in text
    assert "StreamLAAL (IWSLT 2025)" in text
    assert "low" in text
    assert re.search(r"At the same chunk size.*better, no later", text)
    assert re.search(r"simulsa 320 ms [\d.]+ \[[\d.]+, [\d.]+\]", text)


def test_latency_with_empties_is_a_column_only_where_something_is_empty() -> None:
    data = full_data()
    assert "with empties" not in report_html(data)
    curves = {**data.curves, "base": [replace(point, n_empty=1) for point in data.curves["base"]]}
    assert "with empties" in report_html(replace(data, curves=curves))


def test_curves_have_bands_that_the_pointer_can_read() -> None:
    html = report_html(full_data())
    readings = [json.loads(found) for found in re.findall(r'data-readings="([^"]+)"', html)]
    assert len(readings) == 3
    for curve in readings:
        assert [laal_ms for laal_ms, *_ in curve] == sorted(laal_ms for laal_ms, *_ in curve)
        assert all(low <= bleu <= high for _, bleu, low, high in curve)
    assert html.count('class="band') == 3


def test_the_data_balance_and_the_signatures_are_shown() -> None:
    text = " ".join(Outline(report_html(full_data())).texts)
    assert "10 = 6 + 1 + 3, and 3 = 1 + 2" in text
    assert "tok:13a" in text
    assert "audio_missing" in text


def test_a_page_without_results_says_so() -> None:
    html = report_html(ReportData(title="empty", curves={}, equal_latency=[]))
    Outline(html)
    assert "no system can be called better" in html


def verdict_of(*intervals: tuple[float, float, float]) -> str:
    return headline(
        [point(100.0 * i, Difference(diff=d, low=lo, high=hi)) for i, (d, lo, hi) in enumerate(intervals)]
    )


def point(laal_ms: float, difference: Difference) -> EqualLatency:
    return EqualLatency(
        laal_ms=laal_ms,
        bleu={"base": 20.0, "simulsa": 20.0 + difference.diff},
        differences={"simulsa_minus_base": difference},
        resamples_outside=0,
    )


@pytest.mark.parametrize(
    ("intervals", "words"),
    [
        ([(5.0, 3.0, 7.0), (4.0, 1.0, 6.0)], "better than the base model at every equal latency"),
        ([(5.0, 3.0, 7.0), (1.0, -1.0, 2.0)], "better than the base model at 1 of 2"),
        ([(1.0, -1.0, 2.0), (0.0, -1.0, 1.0)], "no advantage of SimulSA"),
        (
            [(1.0, -1.0, 2.0), (-5.0, -7.0, -2.0)],
            "not better than the base model at equal latency, and worse",
        ),
        ([(-5.0, -7.0, -2.0)], "worse than the base model at every equal latency"),
    ],
)
def test_the_headline_says_what_the_intervals_allow(
    intervals: list[tuple[float, float, float]], words: str
) -> None:
    assert words in verdict_of(*intervals)


def test_a_comparison_counts_and_names_its_extremes() -> None:
    points = [
        point(-100, Difference(diff=5, low=3, high=7)),
        point(400, Difference(diff=-2, low=-3, high=-1)),
    ]
    [sentence] = comparisons(points, 0.95)
    assert "ahead at 1, behind at 1 and undecided at 0 of 2" in sentence
    assert "+5.0 BLEU at LAAL −100 ms (95% interval +3.0 to +7.0)" in sentence
    assert "at worst −2.0 BLEU at LAAL 400 ms" in sentence


def test_signed_numbers_have_no_negative_zero() -> None:
    assert [signed(v) for v in (1.25, -0.04, -3.0)] == ["+1.2", "0.0", "−3.0"]
