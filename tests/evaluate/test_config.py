"""The evaluation's configuration: which points each curve has."""

import pytest
from pydantic import ValidationError

from evaluate.config import SYSTEMS, EvaluateConfig
from evaluate.policies import HoldN, LocalAgreement, SimulSA, WaitK


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


def planned(*policies: dict[str, object]) -> EvaluateConfig:
    return EvaluateConfig.model_validate({"policies": [{"kind": "simulsa"}, *policies]})


def test_by_default_every_system_streams_under_simulsa_alone() -> None:
    curves = EvaluateConfig().curves()
    assert [(curve.name, curve.system) for curve in curves] == [(name, name) for name in SYSTEMS]
    assert {point.policy for curve in curves for point in curve.points} == {SimulSA()}
    for curve in curves:
        assert tuple(point.chunk_ms for point in curve.points) == EvaluateConfig().chunks_for(curve.system)


def test_a_knob_gives_the_points_of_its_curve_in_ascending_order() -> None:
    *_, waiting, holding = planned(
        {"kind": "wait-k", "k": [5, 1], "chunk_ms": 500}, {"kind": "hold-n", "n": [4]}
    ).curves()
    assert (waiting.name, waiting.system) == ("base+wait-k", "base")
    assert [(p.label, p.policy, p.chunk_ms) for p in waiting.points] == [
        ("k=1", WaitK(k=1), 500),
        ("k=5", WaitK(k=5), 500),
    ]
    assert [(p.policy, p.chunk_ms) for p in holding.points] == [(HoldN(n=4), 640)]


def test_a_policy_runs_on_the_systems_it_names() -> None:
    curves = planned(
        {"kind": "local-agreement", "systems": ["control", "simulsa"], "chunk_ms": [640]}
    ).curves()
    assert [curve.name for curve in curves[3:]] == ["control+local-agreement", "simulsa+local-agreement"]
    assert {curve.points[0].policy for curve in curves[3:]} == {LocalAgreement(n=2)}


@pytest.mark.parametrize(
    ("policies", "rule"),
    [
        ([{"kind": "wait-k"}], "simulsa must be among"),
        ([{"kind": "simulsa"}, {"kind": "hold-n"}, {"kind": "hold-n", "n": [1]}], "one curve a system"),
        ([{"kind": "simulsa"}, {"kind": "wait-k", "k": [2, 2]}], "distinct"),
        ([{"kind": "simulsa"}, {"kind": "waitk"}], "wait-k"),
        ([{"kind": "simulsa"}, {"kind": "wait-k", "chunk_ms": [640]}], "chunk_ms"),
    ],
)
def test_impossible_policies_are_refused_with_their_rule(
    policies: list[dict[str, object]], rule: str
) -> None:
    with pytest.raises(ValidationError, match=rule):
        EvaluateConfig.model_validate({"policies": policies})
