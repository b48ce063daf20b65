"""`simulsa score` and `simulsa lint` on logs of other systems."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import flows.commands.score  # noqa: F401 - importing registers the commands
from flows.cli import main

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "evaluate" / "golden" / "latency.json").read_text(encoding="utf-8")
)
Run = Any


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def simulsa(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["simulsa", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, capsys.readouterr().out

    return simulsa


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    cases = [case for case in GOLDEN["cases"] if case["unit"] == "word"]
    fields = ("prediction", "delays", "elapsed", "reference", "source_length")
    lines = [{"index": i, **{name: case[name] for name in fields}} for i, case in enumerate(cases)]
    path = tmp_path / "instances.log"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def talks(tmp_path: Path) -> tuple[Path, Path, Path]:
    long = GOLDEN["longform"]["L1_two_talks"]
    log, segments, references = (tmp_path / name for name in ("m.jsonl", "talks.yaml", "talks.en"))
    log.write_text("".join(json.dumps(row) + "\n" for row in long["simulstream_jsonl"]))
    segments.write_text(long["segmentation_yaml"])
    references.write_text("".join(line + "\n" for line in long["references"]))
    return log, segments, references


def test_scores_of_someone_elses_log_are_one_json_object(run: Run, instances: Path) -> None:
    code, out = run("score", instances, "--lang", "en", "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["format"], result["unit"], result["corpus"]["n"]) == ("simuleval", "word", 6)
    first = result["utterances"][0]
    assert (first["AL"], first["LAAL"], first["DAL"], first["ATD"], first["YAAL"]) == (
        800,
        800,
        1000,
        1050,
        750,
    )
    assert first["NumChunks"] == 3
    assert {"TER", "TER_signature", "BLEU_signature"} <= result["quality"].keys()


def test_compat_prints_the_other_toolkits_numbers(run: Run, instances: Path) -> None:
    cases = [case for case in GOLDEN["cases"] if case["unit"] == "word"]
    for toolkit, version in (("simuleval", "simuleval@1.1.4"), ("omnisteval", "omnisteval@0.1.10")):
        _, out = run("score", instances, "--compat", toolkit, "--json")
        for ours, case in zip(json.loads(out)["utterances"], cases, strict=True):
            theirs = case["expected"][version]
            for name in ours.keys() & theirs.keys():
                expected = None if theirs[name] == "NaN" else pytest.approx(theirs[name], abs=1e-6)
                assert ours[name] == expected, (toolkit, case["id"], name)
            assert {"AL", "AL_CA", "LAAL", "LAAL_CA"} <= ours.keys() & theirs.keys()


def test_long_recordings_are_scored_by_segment(run: Run, talks: tuple[Path, Path, Path]) -> None:
    log, segments, references = talks
    arguments = ("score", log, "--segments", segments, "--references", references, "--json")
    _, out = run(*arguments)
    assert json.loads(out)["corpus"]["StreamLAAL"] == pytest.approx(1665.0)
    _, out = run(*arguments, "--compat", "simulstream")
    assert json.loads(out)["corpus"]["StreamLAAL_CA_s"] == pytest.approx(2.075)


def test_a_person_sees_a_table_and_the_next_step(run: Run, talks: tuple[Path, Path, Path]) -> None:
    log, segments, references = talks
    code, out = run("score", log, "--segments", segments, "--references", references, "--lang", "en")
    assert code == 0
    assert "StreamLAAL ms" in out
    assert "BLEU 28.11  nrefs:1" in out
    assert "next: simulsa score" in out


def test_segments_without_references_are_refused(run: Run, talks: tuple[Path, Path, Path]) -> None:
    code, out = run("score", talks[0], "--segments", talks[1], "--json")
    assert code == 2
    assert "give --references" in json.loads(out)["error"]["message"]


def test_an_impossible_log_is_not_scored_and_lint_says_why(run: Run, instances: Path) -> None:
    line = json.loads(instances.read_text().splitlines()[0])
    line["elapsed"][0] = 10.0
    instances.write_text(json.dumps(line) + "\n")
    code, out = run("score", instances, "--json")
    assert code == 2
    assert "elapsed_before_delay" in json.loads(out)["error"]["message"]
    code, out = run("lint", instances, "--json")
    assert code == 1
    (finding,) = json.loads(out)["findings"]
    assert {name: finding[name] for name in ("line", "field", "rule", "value")} == {
        "line": 1, "field": "elapsed[0]", "rule": "elapsed_before_delay", "value": "10.0 < 1000.0",
    }  # fmt: skip
    code, out = run("lint", instances)
    assert code == 1
    assert f"{instances}:1: elapsed[0]: elapsed_before_delay" in out


def test_elapsed_that_is_no_sum_of_compute_is_scored_in_compat_only(run: Run, instances: Path) -> None:
    line = json.loads(instances.read_text().splitlines()[0])
    line["elapsed"] = [1900.0, 1900.0, 2500.0, 2500.0, 3900.0, 3900.0]
    instances.write_text(json.dumps(line) + "\n")
    code, out = run("score", instances, "--json")
    assert code == 2
    assert "compute_decreases" in json.loads(out)["error"]["message"]
    code, out = run("score", instances, "--compat", "simuleval", "--json")
    assert code == 0
    assert json.loads(out)["utterances"][0]["StartOffset_CA"] == 1900.0


def test_a_sound_log_passes_lint(run: Run, instances: Path) -> None:
    code, out = run("lint", instances)
    assert code == 0
    assert "6 readable utterances (simuleval), 0 findings" in out


def test_a_missing_file_is_an_error_not_a_traceback(run: Run, tmp_path: Path) -> None:
    code, out = run("lint", tmp_path / "none.log", "--json")
    assert code == 2
    assert json.loads(out)["error"]["type"] == "FileNotFoundError"
