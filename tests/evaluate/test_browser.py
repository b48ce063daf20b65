"""The report as its reader has it: opened in a real browser, pointed at, listened to, filtered, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evaluate.config import EvaluateConfig
from evaluate.regimes import rules_for
from evaluate.report import ReportData, StageRow, render_report
from evaluate.report.spread import measure_spread
from evaluate.report.timeline import Example, build_example
from evaluate.session import SpokenUtterance
from evaluate.significance import compare_at_equal_latency
from evaluate.trace import Emission, Step, StreamTrace
from tests.evaluate.synthetic import invent_curve, invent_utterances
from tests.evaluate.test_report_policies import policy_data
from tests.support.browser import Page, chromium, require_chromium

pytestmark = pytest.mark.slow

SOURCE_MS = 3000.0
TEXTS = ("das kleine Haus steht am Fluss", "morgen fährt Anna nach Hause", "zwei Vögel singen im Garten")
TEXT_COLOURS = ("ink", "soft", "bad", "base", "control", "simulsa", "ceiling", "other")
FURTHER = {"YAAL": 500.0, "monotonicity": 0.95, "matched": 0.81}
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen"
SHOWN = "[...document.querySelectorAll('article')].filter(a => a.checkVisibility()).map(a => a.dataset.id)"


def heard(i: int, text: str) -> SpokenUtterance:
    """A tone whose loudness comes and goes."""
    seconds = np.arange(int(SOURCE_MS * 16)) / 16000
    waveform = 0.4 * np.sin(2 * np.pi * 220 * (i + 1) * seconds) * np.abs(np.sin(3 * seconds))
    return SpokenUtterance(
        id=f"u{i}",
        waveform=waveform.astype(np.float32),
        sha=f"{i}",
        references=(text,),
        src_text=f"source {i}",
    )


def spoke(i: int, text: str, chunk_ms: int) -> StreamTrace:
    """One word per chunk, the rest at the end."""
    words = text.split()
    delays = [min(chunk_ms * (k + 1.0), SOURCE_MS) for k in range(len(words))]
    return StreamTrace(
        id=f"u{i}", chunk_ms=chunk_ms, source_ms=SOURCE_MS, text=text,
        emissions=tuple(Emission(unit=w, delay_ms=d) for w, d in zip(words, delays, strict=True)),
        steps=tuple(Step(audio_ms=d, token_ids=(1,)) for d in dict.fromkeys(delays)),
    )  # fmt: skip


def example(i: int, text: str) -> Example:
    """The base invents the second utterance; SimulSA is right everywhere."""
    invented = f"{LONG_WORD} fehlt hier" if i == 1 else text
    return build_example(
        heard(i, text), {"base": spoke(i, invented, 400), "simulsa": spoke(i, text, 500)}, "word"
    )


def report_data() -> ReportData:
    utterances = invent_utterances(60)
    curves = {
        "base": invent_curve(utterances, [(-200, 0.4), (400, 0.6), (900, 0.8)], seed=1),
        "control": invent_curve(utterances, [(-150, 0.4), (420, 0.6), (950, 0.8)], seed=4),
        "simulsa": invent_curve(utterances, [(0, 0.8), (500, 0.9), (1000, 0.95)], seed=7),
    }
    config = EvaluateConfig(bootstrap_resamples=60)
    return ReportData(
        title="A run with_a_long_name_that_nothing_can_break_" + "x" * 40,
        curves={name: [scored.point for scored in points] for name, points in curves.items()},
        equal_latency=compare_at_equal_latency(curves, config),
        spread=measure_spread(curves, config),
        scores={
            name: [{"YAAL": 500.0, "monotonicity": 0.95, "matched": 0.81} for _ in points]
            for name, points in curves.items()
        },
        rules=rules_for("en", "de"),
        facts=(("model", "m" * 80),),
        rejections={"too_short_to_truncate": 3},
        stages=(StageRow(name="truncate", cached=True, seconds=0.25, detail="4 parts"),),
        examples=tuple(example(i, text) for i, text in enumerate(TEXTS)),
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    require_chromium()
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    render_report(report_data(), path)
    return path


@pytest.fixture
def policies(page: Page, tmp_path: Path) -> Page:
    """A report with policies, on a desktop in light."""
    path = tmp_path / "report.html"
    render_report(policy_data(), path)
    page.open(path)
    return page


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    """The report, freshly opened on a desktop in light."""
    browser.complaints.clear()
    browser.requests.clear()
    browser.emulate()
    browser.resize(1280, 900)
    browser.open(report)
    return browser


def test_a_missing_browser_is_a_failure_in_ci_and_skipped_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.browser.BINARY", "/nowhere/chromium")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        require_chromium()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        require_chromium()


def test_the_page_opens_without_a_complaint_and_asks_for_nothing_else(page: Page) -> None:
    assert page.run("document.querySelectorAll('article').length") == 3
    assert page.complaints == []
    others = [url for url in page.requests if not url.startswith("data:")]
    assert [url.rsplit("/", 1)[-1] for url in others] == ["report.html"]


def test_pointing_at_a_marker_says_its_scores(page: Page) -> None:
    page.point("#curves .s-simulsa .touch")
    said = page.run("document.querySelector('#tip.on').textContent")
    assert said.startswith("simulsa, 320 ms chunks: BLEU ")
    assert "at LAAL 0 ms [" in said


def test_pointing_between_markers_reads_every_curve_at_that_latency(page: Page) -> None:
    page.point("#curves .chart", at=0.5)
    said = page.run("[...document.querySelectorAll('#tip.on div')].map(line => line.textContent)")
    assert said[0].startswith("LAAL ")
    assert [line.split(":")[0] for line in said[1:]] == ["base", "control", "simulsa"]
    assert page.run("document.querySelector('#curves .hair').classList.contains('on')")


def test_a_marker_speaks_to_the_keyboard_too(page: Page) -> None:
    page.run("document.querySelector('#curves .marker').focus()")
    assert "ms chunks: BLEU" in page.run("document.querySelector('#tip.on').textContent")


def test_a_click_into_the_sound_moves_cursor_words_and_audio_there(page: Page) -> None:
    page.point("[data-id=u0] .seek", at=0.5, click=True)
    assert page.run("document.querySelector('[data-id=u0] audio').currentTime") == pytest.approx(
        1.5, abs=0.02
    )
    left = page.run("parseFloat(document.querySelector('[data-id=u0] .cursor').style.left)")
    assert left == pytest.approx(50, abs=0.5)
    ahead = "[...document.querySelectorAll('[data-id=u0] .s-simulsa .write.ahead b')].map(b => b.textContent)"
    assert page.run(ahead) == ["steht", "am", "Fluss"]
    assert page.run("document.querySelectorAll('[data-id=u1].live').length") == 0


def test_the_keyboard_moves_the_cursor_as_a_slider(page: Page) -> None:
    page.run("document.querySelector('[data-id=u0] .seek').focus()")
    page.press("End")
    page.press("ArrowLeft")
    slider = "document.querySelector('[data-id=u0] .seek')"
    assert page.run(f"{slider}.getAttribute('aria-valuenow')") == "2.90"
    assert page.run(f"{slider}.getAttribute('aria-valuetext')") == "2.90 seconds"


def test_the_cursor_follows_the_sound_and_one_sound_stops_another(page: Page) -> None:
    page.point("[data-id=u0] .play", click=True)
    page.until("parseFloat(document.querySelector('[data-id=u0] .cursor').style.left) > 2")
    page.point("[data-id=u2] .play", click=True)
    page.until("!document.querySelector('[data-id=u0]').classList.contains('playing')")
    assert page.run("document.querySelector('[data-id=u2] .play').getAttribute('aria-label')") == "Pause u2"
    assert page.complaints == []


def choose(page: Page, id_: str, value: str) -> None:
    field = f"document.getElementById('{id_}')"
    page.run(f"{field}.value = '{value}'; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def test_utterances_are_found_filtered_and_sorted(page: Page) -> None:
    assert page.run(SHOWN) == ["u0", "u1", "u2"]
    choose(page, "find", "ANNA")
    assert page.run(SHOWN) == ["u1"]
    assert page.run("document.getElementById('shown').textContent") == "1 of 3 utterances"
    choose(page, "find", "")
    choose(page, "sort", "gain")
    assert page.run(SHOWN)[0] == "u1"
    choose(page, "show", "errors")
    assert page.run(SHOWN) == ["u1"]
    choose(page, "show", "trouble")
    assert page.run("document.getElementById('shown').textContent") == "0 of 3 utterances"


def test_a_system_can_be_hidden_and_comes_back(page: Page) -> None:
    tracks = "[...document.querySelectorAll('[data-id=u0] .track')].filter(t => t.checkVisibility()).length"
    page.point(".controls input[value=base]", click=True)
    assert page.run(tracks) == 1
    page.point(".controls input[value=base]", click=True)
    assert page.run(tracks) == 2


def test_nothing_overflows_a_phone(page: Page) -> None:
    page.resize(390, 844, mobile=True)
    assert page.run("document.documentElement.scrollWidth") == 390
    outside = (
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg') "
        "&& e.checkVisibility() && e.getBoundingClientRect().right > 390.5).map(e => e.outerHTML.slice(0, 80))"
    )
    assert page.run(outside) == []


def seen(page: Page, selector: str) -> list[str]:
    """The names of the curves that are visible."""
    found = f"[...document.querySelectorAll('{selector} g[data-name]')].filter(g => g.getBoundingClientRect().width)"
    names: list[str] = page.run(f"{found}.map(g => g.dataset.name)")
    return names


def test_the_legend_hides_systems_and_policies_in_all_pictures(policies: Page) -> None:
    assert len(seen(policies, "#policies figure")) == 7
    policies.point(".legend input[value=control]", click=True)
    policies.point(".legend input[name=policy][value=wait-k]", click=True)
    assert seen(policies, "#policies figure") == ["base", "simulsa", "base+retranslation", "ceiling"]
    panels = "[...document.querySelectorAll('[data-panel]')].filter(p => p.checkVisibility()).map(p => p.dataset.panel)"
    assert policies.run(panels) == ["simulsa", "retranslation"]
    assert seen(policies, "[data-panel=simulsa]") == ["base", "simulsa", "ceiling"]
    policies.point(".legend input[value=control]", click=True)
    assert "control" in seen(policies, "#policies figure")


def test_bands_are_drawn_only_where_few_curves_are_left(policies: Page) -> None:
    bands = "[...document.querySelectorAll('#policies figure .band')].filter(b => b.checkVisibility()).length"
    assert policies.run(bands) == 0
    policies.point(".legend input[name=policy][value=simulsa]", click=True)
    assert policies.run(bands) == 3


def test_pointing_at_a_policys_marker_says_its_knob(policies: Page) -> None:
    policies.point("#policies [data-name='base+retranslation'] .touch")
    said = policies.run("document.querySelector('#tip.on').textContent")
    assert said.startswith("base, retranslation, 320 ms: BLEU ")
    assert said.endswith("units taken back for one that stayed")


def test_many_curves_are_read_from_the_best_down(policies: Page) -> None:
    policies.point("#policies figure .chart", at=0.55)
    lines = policies.run(
        "[...document.querySelectorAll('#tip.on div')].slice(1).map(line => line.textContent)"
    )
    values = [float(re.findall(r"BLEU ([\d.]+)", line)[0]) for line in lines]
    assert len(values) > 3
    assert values == sorted(values, reverse=True)


def test_policies_fit_a_phone_and_paper(policies: Page) -> None:
    policies.resize(390, 844, mobile=True)
    assert policies.run("document.documentElement.scrollWidth") == 390
    policies.emulate(media="print")
    policies.resize(690, 1000)
    assert policies.run("document.documentElement.scrollWidth") == 690
    assert policies.run("document.querySelector('.legend input').checkVisibility()") is False
    assert policies.run("document.querySelector('.legend .key').checkVisibility()") is True


@pytest.mark.parametrize(("media", "scheme"), [("screen", "light"), ("screen", "dark"), ("print", "dark")])
def test_every_colour_of_text_stands_out_from_its_card(page: Page, media: str, scheme: str) -> None:
    page.emulate(media=media, scheme=scheme)
    page.run("document.body.append(Object.assign(document.createElement('i'), {id: 'probe'}))")
    colours = {name: computed(page, name) for name in (*TEXT_COLOURS, "card", "paper")}
    for name in TEXT_COLOURS:
        assert contrast(colours[name], colours["card"]) >= 4.5, name
        assert contrast(colours[name], colours["paper"]) >= 4.5, name


def computed(page: Page, name: str) -> list[int]:
    """What a colour of the style sheet comes to, as sRGB."""
    page.run(f"document.getElementById('probe').style.color = 'var(--{name})'")
    rgb: str = page.run("getComputedStyle(document.getElementById('probe')).color")
    return [int(part) for part in re.findall(r"\d+", rgb)]


def contrast(one: list[int], other: list[int]) -> float:
    """WCAG 2.2 contrast ratio of two sRGB colours."""

    def luminance(rgb: list[int]) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_paper_has_no_controls_and_all_of_every_utterance(page: Page) -> None:
    page.point("[data-id=u0] .seek", at=0.1, click=True)
    page.emulate(media="print")
    page.resize(690, 1000)  # A4 between the margins
    assert page.run("document.documentElement.scrollWidth") == 690
    assert page.run("document.querySelector('.controls').checkVisibility()") is False
    assert page.run("document.querySelector('.play').checkVisibility()") is False
    assert page.run("getComputedStyle(document.querySelector('.write.ahead')).opacity") == "1"
