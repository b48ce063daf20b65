"""One random micro LALM for all tests of the model side."""

from pathlib import Path

import pytest

from lalm.loading import LoadedModel, ModelConfig, load_model
from tests.support.micro import random_micro_lalm


@pytest.fixture(scope="session")
def micro_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_micro_lalm(tmp_path_factory.mktemp("micro"))


@pytest.fixture(scope="session")
def loaded(micro_dir: Path) -> LoadedModel:
    return load_model(ModelConfig(path=str(micro_dir), device="cpu"))
