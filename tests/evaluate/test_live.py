"""A live stream shows exactly the translation, a piece per step."""

import pytest

from evaluate.config import EvaluateConfig
from evaluate.live import stream_live
from lalm.engine import Failure
from lalm.errors import EngineError
from tests.evaluate.scripted import PROMPT, TOKENIZER, ScriptedEngine, spoken


def listen(engine: ScriptedEngine, duration_ms: float) -> list[tuple[float, str]]:
    return list(
        stream_live(
            spoken("live", duration_ms).waveform,
            sha="sha",
            engine=engine,
            prompt=PROMPT,
            tokenizer=TOKENIZER,
            chunk_ms=1000,
            config=EvaluateConfig(),
            adapter=None,
            tgt_lang="de",
        )
    )


def test_every_step_yields_what_it_adds() -> None:
    engine = ScriptedEngine({("live", 1000): "Ich", ("live", 2500): " gehe"})
    assert listen(engine, 2500) == [(1000.0, "Ich"), (2000.0, ""), (2500.0, " gehe")]


def test_half_a_character_is_held_back_until_it_is_whole() -> None:
    engine = ScriptedEngine({("live", 1000): b"T\xc3", ("live", 2000): b"\xbcr"})
    assert listen(engine, 2000) == [(1000.0, "T"), (2000.0, "ür")]


def test_a_failure_stops_the_stream_with_its_reason() -> None:
    engine = ScriptedEngine({("live", 2000): Failure(reason="engine_error", detail="out of memory")})
    with pytest.raises(EngineError, match="after 1 steps: engine_error: out of memory"):
        listen(engine, 3000)


def test_a_recording_longer_than_the_window_is_refused() -> None:
    with pytest.raises(EngineError, match="longer_than_window"):
        listen(ScriptedEngine({}, window_ms=2000), 3000)


def test_an_engine_without_an_answer_ends_the_stream() -> None:
    with pytest.raises(EngineError, match="no_result"):
        listen(ScriptedEngine({}, deaf_to=frozenset({"live"})), 3000)
