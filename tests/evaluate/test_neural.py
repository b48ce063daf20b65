"""What COMET models are asked about a log or a set of traces, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluate.logs import Instance, Log, LogEntry, LogError, score_log
from evaluate.neural import Translation, report_neural, translations_in_log
from evaluate.resegment import Segment
from lalm.comet import CometConfig, CometScorer
from tests.support.comet import hollow_checkpoint

SOURCES = ["one two", "what is missing", " "]
REFERENCES = ["eins zwei", "was fehlt", "drei"]


def entry(index: int, text: str, *, recording: str = "a") -> LogEntry:
    delays = tuple(1000.0 * (i + 1) for i in range(len(text.split())))
    instance = Instance(index=index, prediction=text, delays=delays, elapsed=delays, source_length=4000.0)
    return LogEntry(
        line=index + 1, position=index, trace=instance.to_trace(), recording=recording, reference=None
    )


def asked(
    *entries: LogEntry,
    sources: list[str],
    references: list[str] | None = None,
    segments: list[Segment] | None = None,
) -> list[Translation]:
    log = Log(format="simuleval", entries=entries, findings=())
    scored = score_log(log, references=references, segments=segments, unit="word", lang="de", compat=None)
    return translations_in_log(log, scored, sources=sources, references=references, segments=segments)


def test_missing_utterance_is_asked_as_empty_with_its_own_source_and_reference() -> None:
    said = asked(entry(0, "eins zwei"), entry(2, "drei"), sources=SOURCES, references=REFERENCES)
    assert {(t.id, t.src, t.mt, t.ref) for t in said} == {
        ("0", "one two", "eins zwei", "eins zwei"),
        ("1", "what is missing", "", "was fehlt"),
        ("2", None, "drei", "drei"),
    }


def test_source_n_belongs_to_segment_n_though_a_recording_is_scored_in_the_order_of_its_time() -> None:
    second = Segment(recording="a", offset_ms=2000.0, duration_ms=2000.0, reference="drei vier")
    first = Segment(recording="a", offset_ms=0.0, duration_ms=2000.0, reference="eins zwei")
    said = asked(
        entry(0, "eins zwei drei vier"),
        sources=["three four", "one two"],
        references=[second.reference, first.reference],
        segments=[second, first],
    )
    assert [(t.src, t.mt, t.ref) for t in said] == [
        ("one two", "eins zwei", "eins zwei"),
        ("three four", "drei vier", "drei vier"),
    ]


@pytest.mark.parametrize("sources", [SOURCES[:2], [*SOURCES, "four"]])
def test_another_number_of_sources_is_refused(sources: list[str]) -> None:
    with pytest.raises(LogError, match="3 are needed"):
        asked(entry(0, "eins"), entry(2, "drei"), sources=sources, references=REFERENCES)


def test_what_has_no_source_text_is_named_and_starts_nothing(tmp_path: Path) -> None:
    translations = [
        Translation(id="a", src=None, mt="", ref="eins", failure="longer_than_window: 99 s"),
        Translation(id="b", src=None, mt="zwei", ref="zwei"),
    ]
    model = hollow_checkpoint(tmp_path / "model")
    with CometScorer(CometConfig(model=str(model), python="/nonexistent")) as scorer:
        report = report_neural(translations, scorer).to_json()
    assert (report["mean"], report["n"], report["n_empty"]) == (None, 0, 1)
    assert report["failed"] == {"a": "longer_than_window: 99 s"}
    assert report["without_source"] == ["a", "b"]
