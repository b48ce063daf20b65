"""A merged model says what base and adapter say, and its directory appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from flows.commands import merge as merge_command  # noqa: F401 - importing registers the command
from flows.commands.common import app
from lalm import merge as merge_module
from lalm.engine import AudioClip, GenerateRequest, ScoreRequest
from lalm.errors import ModelError
from lalm.loading import LoadedModel, ModelConfig, load_model
from lalm.merge import MARKER, merge_adapter
from lalm.model_files import directory_digest
from lalm.prompts import build_prompt
from lalm.transformers_engine import TransformersEngine
from tests.support.micro import random_micro_lalm, random_waveform
from tests.support.vllm import random_adapter


@pytest.fixture(scope="module")
def adapter(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_adapter(micro_dir, tmp_path_factory.mktemp("adapters") / "one", seed=1)


@pytest.fixture(scope="module")
def other(micro_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_adapter(micro_dir, tmp_path_factory.mktemp("adapters") / "two", seed=2)


@pytest.fixture
def config(micro_dir: Path) -> ModelConfig:
    return ModelConfig(path=str(micro_dir), device="cpu")


def what_it_says(
    loaded: LoadedModel, config: ModelConfig, adapter: Path | None
) -> tuple[tuple[int, ...], list[float]]:
    """A text and the scores of another, of audio that the merge itself never heard."""
    prompt = build_prompt(loaded, config, "en", "de")
    audio = AudioClip(key="a", waveform=random_waveform(5, 30_000))
    engine = TransformersEngine(loaded)
    generate = GenerateRequest(request_id="r", prompt_ids=prompt.ids, audio=audio, max_new_tokens=20)
    score = ScoreRequest(
        request_id="r", prompt_ids=prompt.ids, audio=audio, continuation_ids=(40, 41, 42, 43)
    )
    said = dict(engine.generate([generate], adapter=adapter))["r"].token_ids  # type: ignore[union-attr]
    scores = dict(engine.score([score], adapter=adapter))["r"].logprobs  # type: ignore[union-attr]
    engine.close()
    return said, list(scores)


def test_a_merged_model_says_what_base_and_adapter_say(
    config: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    result = merge_adapter(config, adapter, tmp_path / "merged")
    assert result.status == "merged"
    assert result.max_difference_nats is not None
    merged = config.model_copy(update={"path": str(tmp_path / "merged")})
    text, scores = what_it_says(load_model(merged), merged, None)
    base = load_model(config)
    expected_text, expected_scores = what_it_says(base, config, adapter)
    assert text == expected_text != what_it_says(base, config, None)[0]
    assert scores == pytest.approx(expected_scores, abs=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["merged"], "no draft remains"


def test_a_merge_in_bfloat16_takes_half_the_room(config: ModelConfig, adapter: Path, tmp_path: Path) -> None:
    half = config.model_copy(update={"dtype": "bfloat16"})
    whole = merge_adapter(config, adapter, tmp_path / "whole")
    result = merge_adapter(half, adapter, tmp_path / "half")
    assert result.num_bytes * 2 == whole.num_bytes
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.05)
    assert sizes[1] == pytest.approx(whole.num_bytes, rel=0.05)


def test_the_same_merge_again_changes_nothing_and_another_one_replaces_it(
    config: ModelConfig, adapter: Path, other: Path, tmp_path: Path
) -> None:
    target = tmp_path / "merged"
    merge_adapter(config, adapter, target)
    before = directory_digest(target)
    assert merge_adapter(config, adapter, target).status == "unchanged"
    assert directory_digest(target) == before
    assert merge_adapter(config, other, target).status == "merged"
    assert directory_digest(target) != before
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_a_dry_run_writes_nothing(config: ModelConfig, adapter: Path, tmp_path: Path) -> None:
    result = merge_adapter(config, adapter, tmp_path / "deep" / "merged", dry_run=True)
    assert result.status == "dry_run"
    assert result.num_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_what_no_merge_wrote_is_never_replaced(
    config: ModelConfig, micro_dir: Path, adapter: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(ModelError, match="holds something that no merge wrote"):
        merge_adapter(config, adapter, tmp_path)
    for source in (micro_dir, adapter):
        with pytest.raises(ModelError, match="that is what is merged"):
            merge_adapter(config, adapter, source / ".." / source.name)
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_a_merge_that_changes_the_scores_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, config: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    def damage(directory: Path, draft: Path) -> None:
        copy(directory, draft)
        weights = load_file(draft / "model.safetensors")
        weights["multi_modal_projector.linear.weight"] *= 1.01
        save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})

    copy = merge_module._copy_processor
    monkeypatch.setattr(merge_module, "_copy_processor", damage)
    with pytest.raises(ModelError, match=r"not written as it is: the canary's scores differ by"):
        merge_adapter(config, adapter, tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_of_another_base_is_refused_and_leaves_nothing(
    config: ModelConfig, adapter: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    weights = {
        name: tensor[..., :2].contiguous()
        for name, tensor in load_file(adapter / "adapter_model.safetensors").items()
    }
    save_file(weights, foreign / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="does not fit this model"):
        merge_adapter(config, foreign, tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_the_command_says_in_one_json_object_what_was_merged(
    capsys: pytest.CaptureFixture[str], adapter: Path, tmp_path: Path
) -> None:
    model = random_micro_lalm(tmp_path / "model")
    config = tmp_path / "my.yaml"
    config.write_text(
        f"name: mine\noutputs: {tmp_path}/outputs\nmodel: {{path: {model}}}\n"
        f"corpus: {{name: c, layout: covost2, root: {tmp_path}, src_lang: en, tgt_lang: de}}\n"
    )
    command = ["merge", str(adapter), "--config", str(config), "--to", str(tmp_path / "merged"), "--json"]
    app([*command, "--dry-run"], result_action="return_value")
    assert json.loads(capsys.readouterr().out)["status"] == "dry_run"
    app(command, result_action="return_value")
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "merged"
    assert json.loads((tmp_path / "merged" / MARKER).read_text()) == result
