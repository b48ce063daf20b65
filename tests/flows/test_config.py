"""A configuration is explained before any work: every wrong key, its value, the rule, the nearest valid key."""

from pathlib import Path

import pytest
import yaml

from flows.config import PROFILES, ConfigError, dump_config, load_config, parse_config
from flows.init_config import template, write_template

MINIMAL = {
    "name": "mine",
    "model": {"path": "some/model"},
    "corpus": {"name": "c", "layout": "covost2", "root": "data", "src_lang": "en", "tgt_lang": "de"},
}


@pytest.mark.parametrize("profile", sorted(path.stem for path in PROFILES.glob("*.yaml")))
def test_every_profile_is_a_valid_configuration(profile: str) -> None:
    assert load_config(profile).name == profile


def test_unknown_key_names_the_nearest_and_all_valid_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(MINIMAL | {"truncate": {"fractoin": 0.02}}, where="my.yaml")
    message = str(caught.value)
    assert "my.yaml has 1 problem" in message
    assert "truncate.fractoin: unknown key; did you mean 'fraction'?" in message
    assert "draws_per_utterance" in message


def test_every_problem_is_listed_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(MINIMAL | {"workers": 0, "seed": "seven", "model": {}})
    message = str(caught.value)
    assert "workers" in message
    assert "'seven'" in message
    assert "model.path" in message


def test_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"neither a file nor a profile \(demo, policies, tiny\)"):
        load_config("nothing-like-this")


@pytest.mark.parametrize("content", ["- a\n- b\n", "name: [unclosed\n", "just text"])
def test_yaml_that_is_no_mapping_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_config(str(path))


def test_bom_and_crlf_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(MINIMAL).replace("\n", "\r\n").encode())
    assert load_config(str(path)).name == "mine"


def test_overrides_reach_nested_keys_and_keep_their_type() -> None:
    config = load_config("tiny", ["finetune.steps=3", "truncate.of=removed"])
    assert (config.finetune.steps, config.truncate.of) == (3, "removed")


@pytest.mark.parametrize("override", ["finetune.steps", "=3", "name.deeper=3"])
def test_malformed_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_config("tiny", [override])


def test_dumped_configuration_reads_back_equal() -> None:
    config = load_config("tiny")
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_init_writes_a_valid_configuration_that_describes_every_section(tmp_path: Path) -> None:
    path = tmp_path / "simulsa.yaml"
    write_template(path)
    config = load_config(str(path))
    assert config.model.path == "Qwen/Qwen2-Audio-7B-Instruct"
    for key in ("fraction", "chunk_ms", "lora_r", "rule"):
        assert f"# {key}:" in template()


def test_init_keeps_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "simulsa.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists and is kept"):
        write_template(path)
    assert path.read_text() == "mine"


def test_training_split_is_refused_as_the_evaluated_one() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.split is 'train', the split that is trained on"):
        parse_config(MINIMAL | {"evaluate": {"split": "train"}})


@pytest.mark.parametrize("name", ["..", ".", "store", "../escape", ".hidden", "a/b", ""])
def test_run_name_cannot_leave_the_outputs_or_be_the_store(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        parse_config(MINIMAL | {"name": name})


def test_override_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match="not YAML"):
        load_config("tiny", ["seed=[1"])


def test_init_names_a_missing_directory_instead_of_making_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no directory"):
        write_template(tmp_path / "no" / "simulsa.yaml")
    assert not (tmp_path / "no").exists()


def test_policies_that_read_attention_need_the_engine_that_shows_it() -> None:
    overrides = ["evaluate.policies=[{kind: simulsa}, {kind: alignatt}]"]
    assert load_config("tiny", overrides).evaluate.policies[1].kind == "alignatt"
    with pytest.raises(ConfigError, match="alignatt read the model's attention"):
        load_config("tiny", [*overrides, "engine.kind=vllm"])
