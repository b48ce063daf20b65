"""summary.json: what a run made and measured, in one file beside its results."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from flows.session import Session
from tasks.evaluate import SpokenSet
from tasks.store import Manifest, fingerprint

SCORED = ("curves", "equal_latency", "ceiling", "failed", "report", "example_audio")
WHERE_MEASURED = ("policies", "timed", "neural")
AUDIO_FILES = (".wav", ".flac", ".ogg", ".mp3")
BALANCE = ("input", "not_selected", "rejected_at_read", "selected", "rejected_later", "rows")


def write_summary(session: Session) -> dict[str, Any]:
    """Write what is known; scores of an earlier flow stay while the configuration is the one they were made with."""
    path = session.config.run_dir / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    configuration = fingerprint(session.config.model_dump(mode="json", exclude={"publish"}))
    summary = {
        "name": session.config.name,
        "configuration": configuration,
        "run_dir": str(session.config.run_dir),
        "dataset": _dataset(session),
        "stages": [timing.as_json() for timing in session.workspace.clock.timings()],
        "requests": session.workspace.requests(),
        **_scores(session),
        "failed": _failed(session),
        "report": str(session.config.run_dir / "report.html") if "scores" in session.made else None,
        "example_audio": _example_audio(session),
    }
    earlier = _earlier(path)
    if "scores" not in session.made and earlier.get("configuration") == configuration:
        summary |= {name: earlier[name] for name in (*SCORED, *WHERE_MEASURED) if name in earlier}
    elif "scores" not in session.made:
        (path.parent / "report.html").unlink(missing_ok=True)  # it was made with another configuration
        shutil.rmtree(path.parent / "scores", ignore_errors=True)
    draft = path.with_suffix(f".{uuid.uuid4().hex[:8]}.draft")
    draft.write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    draft.replace(path)
    return summary


def _earlier(path: Path) -> dict[str, Any]:
    """The summary that lies there, or nothing where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def read_scores(session: Session) -> dict[str, Any]:
    """curves, equal_latency and ceiling as the score stage wrote them."""
    path: Path = session.made["scores"].path("scores.json")
    scores: dict[str, Any] = json.loads(path.read_text())
    return scores


def _scores(session: Session) -> dict[str, Any]:
    if "scores" not in session.made:
        return {"curves": {}, "equal_latency": [], "ceiling": None}
    return read_scores(session)


def _failed(session: Session) -> list[dict[str, Any]]:
    """Every utterance that a curve's point got no translation of, and why; it counts as empty."""
    made = session.made
    timed = {f"{name}, timed": points for name, points in made.get("timed", {}).items()}
    plain = {**made.get("streamed", {}), **timed}
    labelled = {name: [(_step(m), m) for m in points] for name, points in plain.items()}
    return [
        {"curve": name, "point": label, "id": id, "reason": reason}
        for name, points in (labelled | made.get("policies", {})).items()
        for label, m in points
        for id, reason in m.info["failed"].items()
    ]


def _step(made: Manifest) -> str:
    chunk_ms = made.inputs["chunk_ms"]
    return f"{chunk_ms} ms" if chunk_ms else "whole"


def _dataset(session: Session) -> dict[str, Any] | None:
    if "dataset" not in session.made:
        return None
    info = session.made["dataset"].info
    return {
        "path": str(session.config.run_dir / "dataset"),
        **{name: info[name] for name in BALANCE},
        "digest": info["digest"],
        "rejected": info["rejected"],
    }


def _example_audio(session: Session) -> str | None:
    """A held-out file to try `simulsa stream` on: the first evaluated utterance that is a file of its own."""
    spoken: SpokenSet | None = session.made.get("spoken")
    utterances = spoken.utterances if spoken else []
    whole = [u for u in utterances if u.audio.duration_s is None and u.audio.path.endswith(AUDIO_FILES)]
    return os.path.relpath(spoken.corpus.audio_path(whole[0])) if spoken and whole else None
