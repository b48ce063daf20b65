"""What is known of a COMET checkpoint before anything is started."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lalm.comet import COMET_VERSION, CometConfig, CometError, CometScorer, Segment, open_checkpoint
from lalm.comet import config as comet_config
from tests.support.comet import hollow_checkpoint


def identity(directory: Path, **settings: object) -> dict[str, str]:
    return open_checkpoint(CometConfig(model=str(directory), **settings)).identity  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hparams", "reference"),
    [
        ("class_identifier: regression_metric", "required"),
        ("class_identifier: referenceless_regression_metric", "unused"),
        ("class_identifier: unified_metric\ninput_segments: [mt, src]", "unused"),
        ("class_identifier: unified_metric\ninput_segments: [mt, ref]", "required"),
        ("class_identifier: unified_metric", "optional"),
        ("class_identifier: xcomet_metric", "optional"),
    ],
)
def test_class_says_whether_a_reference_is_read(tmp_path: Path, hparams: str, reference: str) -> None:
    directory = hollow_checkpoint(tmp_path / "model", hparams)
    assert open_checkpoint(CometConfig(model=str(directory))).reference == reference


def test_identity_is_the_files_and_not_their_place_nor_how_they_are_run(tmp_path: Path) -> None:
    one = hollow_checkpoint(tmp_path / "one", "class_identifier: xcomet_metric")
    other = shutil.copytree(one, tmp_path / "other")
    assert identity(one) == identity(other, batch_size=1, timeout_s=1, device="cuda", python="elsewhere")
    (other / "checkpoints" / "model.ckpt").write_bytes(b"other weights")
    assert identity(one) != identity(other)


@pytest.mark.parametrize(
    ("hparams", "problem"),
    [
        ("class_identifier: ranking_metric", "gives no score"),
        ("- a list", "must hold a mapping"),
        ("class_identifier: !!python/object/apply:os.getcwd []", "not plain YAML"),
    ],
)
def test_hparams_that_cannot_be_used_are_refused(tmp_path: Path, hparams: str, problem: str) -> None:
    directory = hollow_checkpoint(tmp_path / "model", hparams)
    with pytest.raises(CometError, match=problem):
        open_checkpoint(CometConfig(model=str(directory)))


def test_directory_without_weights_is_named(tmp_path: Path) -> None:
    directory = hollow_checkpoint(tmp_path / "model", "class_identifier: xcomet_metric")
    (directory / "checkpoints" / "model.ckpt").unlink()
    with pytest.raises(CometError, match=r"model\.ckpt is not there"):
        open_checkpoint(CometConfig(model=str(directory)))


def test_model_that_compares_with_a_reference_asks_for_one_before_it_starts(tmp_path: Path) -> None:
    directory = hollow_checkpoint(tmp_path / "model", "class_identifier: regression_metric")
    with (
        CometScorer(CometConfig(model=str(directory))) as scorer,
        pytest.raises(CometError, match="wmt22-cometkiwi-da"),
    ):
        scorer.score([Segment(src="a", mt="b")])


def test_missing_environment_names_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(comet_config.PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(comet_config, "DEFAULT_PYTHON", tmp_path / "python")
    with pytest.raises(CometError, match="make comet"):
        CometConfig(model="any").interpreter()


def test_interpreter_comes_from_the_configuration_then_from_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    second.touch()
    monkeypatch.setenv(comet_config.PYTHON_VARIABLE, str(second))
    assert CometConfig(model="any", python=str(first)).interpreter() == first
    assert CometConfig(model="any").interpreter() == second


def test_pinned_version_is_the_one_in_every_identity() -> None:
    pins = (Path(comet_config.__file__).with_name("requirements.txt")).read_text().splitlines()
    assert f"unbabel-comet=={COMET_VERSION}" in pins
