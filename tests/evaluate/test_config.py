"""The evaluation's configuration: which points each curve has."""

import pytest
from pydantic import ValidationError

from evaluate.config import EvaluateConfig


def test_only_baselines_get_the_extra_chunks_and_all_curves_end_whole() -> None:
    config = EvaluateConfig(chunk_ms=(640, 320), base_chunk_ms=(2400,))
    assert config.chunks_for("simulsa") == (320, 640, None)
    assert config.chunks_for("base") == (320, 640, 2400, None)
    assert config.chunks_for("control") == (320, 640, 2400, None)


def test_whole_utterances_can_be_left_out() -> None:
    assert EvaluateConfig(chunk_ms=(320,), include_offline=False).chunks_for("simulsa") == (320,)


def test_an_extra_chunk_that_is_also_common_is_measured_once() -> None:
    assert EvaluateConfig(chunk_ms=(320,), base_chunk_ms=(320,)).chunks_for("base") == (320, None)


@pytest.mark.parametrize(
    "values", [{"chunk_ms": [320, 320]}, {"chunk_ms": []}, {"chunk_ms": [5]}, {"chunks": [320]}]
)
def test_impossible_chunks_and_unknown_keys_are_refused(values: dict[str, list[int]]) -> None:
    with pytest.raises(ValidationError):
        EvaluateConfig.model_validate(values)


def test_every_field_explains_itself() -> None:
    assert all(field.description for field in EvaluateConfig.model_fields.values())
