"""Each export is the format that its tool documents, plays as it was, and never replaces what is not its own.

The documented examples are copied from the pages that augment/exports/*.py name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor

from augment.exports import FORMATS, Export, ExportError, ExportFormat, export_dataset
from augment.exports.llamafactory import llamafactory
from augment.exports.write import audio_name
from augment.manifest import load_manifest
from augment.publish import publish_to_directory
from tests.support.examples import PROVENANCE, build_dataset, full_waveform
from tests.support.micro import random_micro_lalm

IDS = ("clips/a.mp3", "clips/A.mp3", "b", "c", "d", "ü e")
TEXTS = {"b": ""}
DOCUMENTED: dict[str, dict[str, Any]] = {
    "ms-swift": {
        "messages": [
            {"role": "user", "content": "<audio>What did the audio say?"},
            {"role": "assistant", "content": "The weather is really nice today."},
        ],
        "audios": ["/xxx/x.mp3"],
    },
    "llamafactory": {
        "messages": [
            {"content": "<audio>What's that sound?", "role": "user"},
            {"content": "It is the sound of glass shattering.", "role": "assistant"},
        ],
        "audios": ["mllm_demo_data/1.mp3"],
    },
    "nemo": {
        "audio_filepath": "path/to/audio.wav",
        "offset": 0.0,
        "duration": 10.0,
        "context": "what is the transcription of the audio?",
        "answer": "the transcription of the audio",
        # Canary's own keys; `text` is what NeMo's manifests of speech recognition call the target.
        "text": "the transcription of the utterance",
        "taskname": "ast",
        "source_lang": "en",
        "target_lang": "de",
        "pnc": "yes",
    },
    "trl": {
        "file_name": "first_audio_file.mp3",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "audio"}, {"type": "text", "text": "Transcribe the speech."}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "This is kouign amann."}]},
        ],
    },
}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    build_dataset(tmp_path, IDS, texts=TEXTS)
    return tmp_path / "dataset"


def export(dataset: Path, format: ExportFormat) -> Export:
    return export_dataset(dataset, dataset.parent / format.name, format)


def lines(result: Export) -> list[dict[str, Any]]:
    text = (result.target / result.manifest).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def shape(value: Any) -> Any:
    """The value with every leaf replaced by its type; keys in order of their names."""
    if isinstance(value, dict):
        return {key: shape(value[key]) for key in sorted(value)}
    return [shape(element) for element in value] if isinstance(value, list) else type(value)


def audio_of(line: dict[str, Any]) -> str:
    path: str = line.get("audio_filepath") or line.get("file_name") or line["audios"][0]
    return path


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS.keys())
def test_each_line_has_the_documented_shape_and_its_id(dataset: Path, format: ExportFormat) -> None:
    for line in lines(export(dataset, format)):
        assert line.pop("id") in IDS
        assert shape(line) == shape(DOCUMENTED[format.name])


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS.keys())
def test_every_row_is_there_with_its_audio_under_a_relative_path(dataset: Path, format: ExportFormat) -> None:
    result = export(dataset, format)

    written = {line["id"]: audio_of(line) for line in lines(result)}
    assert written.keys() == set(IDS)
    assert len(set(map(str.lower, written.values()))) == len(IDS)
    for id, path in written.items():
        wave, rate_hz = soundfile.read(result.target / path, dtype="float32")
        assert rate_hz == 16_000
        assert np.array_equal(wave, full_waveform(id)[:12_000])
    assert (result.rows, result.empty_targets, result.audio_s) == (6, 1, 4.5)
    assert result.num_bytes == sum(map(len, contents(result.target).values()))
    assert str(result.target) in result.usage


def test_ms_swift_gets_the_bare_tag_and_the_partial_target(dataset: Path) -> None:
    (line,) = (line for line in lines(export(dataset, FORMATS["ms-swift"])) if line["id"] == "c")

    user, assistant = line["messages"]
    assert user["content"] == f"<audio>{PROVENANCE.instruction}"
    assert assistant["content"] == "wir werden"


def test_llamafactory_is_described_and_labels_the_audio_as_qwen2_audio_was_trained(dataset: Path) -> None:
    result = export(dataset, FORMATS["llamafactory"])

    (info,) = json.loads((result.target / "dataset_info.json").read_text()).values()
    first = lines(result)[0]
    assert (result.target / info["file_name"]).is_file()
    assert info["formatting"] == "sharegpt"
    assert set(info["columns"].values()) <= first.keys()
    assert {message[info["tags"]["role_tag"]] for message in first["messages"]} == {
        info["tags"]["user_tag"],
        info["tags"]["assistant_tag"],
    }
    assert first["messages"][0]["content"] == f"Audio 1: <audio>\n{PROVENANCE.instruction}"


def test_llamafactory_without_a_label_has_the_bare_tag(dataset: Path) -> None:
    (content,) = {
        line["messages"][0]["content"] for line in lines(export(dataset, llamafactory(audio_label="")))
    }

    assert content == f"<audio>{PROVENANCE.instruction}"


def test_nemo_says_how_long_each_file_is_and_in_which_languages(dataset: Path) -> None:
    for line in lines(export(dataset, FORMATS["nemo"])):
        info = soundfile.info(dataset.parent / "nemo" / line["audio_filepath"])
        assert line["duration"] == info.duration
        assert (line["source_lang"], line["target_lang"]) == ("en", "de")
        assert line["answer"] == line["text"]


def test_trl_lines_have_one_schema_and_render_as_a_prompt_of_the_model(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    result = export(dataset, FORMATS["trl"])
    processor = AutoProcessor.from_pretrained(random_micro_lalm(tmp_path / "model"))

    rows = datasets.load_dataset(
        "json",
        data_files=str(result.target / result.manifest),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )

    for row in rows:
        text = processor.apply_chat_template(row["messages"], tokenize=False)
        assert text.count("<|AUDIO|>") == 1
        user, assistant = text.split("<|im_start|>assistant\n")
        assert user.endswith(f"<|audio_eos|>\n{PROVENANCE.instruction}<|im_end|>\n")
        assert assistant.strip() == f"{TEXTS.get(row['id'], 'wir werden')}<|im_end|>"


def test_the_trl_directory_is_an_audio_folder(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    pytest.importorskip(
        "torchcodec", reason="datasets reads an AudioFolder only with torchcodec", exc_type=Exception
    )
    result = export(dataset, FORMATS["trl"])

    loaded = datasets.load_dataset(
        "audiofolder", data_dir=str(result.target), split="train", cache_dir=str(tmp_path / "cache")
    ).cast_column("audio", datasets.Audio(decode=False))

    assert {row["id"] for row in loaded} == set(IDS)
    assert all(soundfile.info(row["audio"]["path"]).frames == 12_000 for row in loaded)


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS.keys())
def test_the_same_dataset_gives_the_same_bytes_and_is_not_written_twice(
    dataset: Path, tmp_path: Path, format: ExportFormat
) -> None:
    first, again = export(dataset, format), export(dataset, format)
    elsewhere = export_dataset(dataset, tmp_path / "elsewhere", format)

    assert (first.status, again.status) == ("exported", "unchanged")
    assert contents(first.target) == contents(elsewhere.target)


def test_an_export_of_another_format_takes_the_place_of_an_earlier_one(dataset: Path, tmp_path: Path) -> None:
    export_dataset(dataset, tmp_path / "out", FORMATS["llamafactory"])
    result = export_dataset(dataset, tmp_path / "out", FORMATS["nemo"])

    assert result.status == "exported"
    assert {path.name for path in result.target.iterdir()} == {"audio", "export.json", "manifest.jsonl"}


def test_the_marker_names_licence_and_dataset(dataset: Path) -> None:
    result = export(dataset, FORMATS["nemo"])

    marker = json.loads((result.target / "export.json").read_text())
    assert marker["dataset_digest"] == load_manifest(dataset).dataset_digest
    assert (marker["license"], marker["rows"], marker["format"]) == ("cc0-1.0", 6, "nemo")


@pytest.mark.parametrize("foreign", ["notes.txt", "audio/mine.wav", "audio/deep/x.flac", "train.jsonl"])
def test_a_directory_with_any_other_file_is_kept(dataset: Path, foreign: str) -> None:
    result = export(dataset, FORMATS["nemo"])
    path = result.target / foreign
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    before = contents(result.target)

    with pytest.raises(ExportError, match=r"which no export wrote and is kept"):
        export(dataset, FORMATS["nemo"])
    assert contents(result.target) == before


@pytest.mark.parametrize("marker", ["", "[]", '{"files": ["export.json"]}'])
def test_a_directory_whose_marker_is_not_ours_is_kept(dataset: Path, tmp_path: Path, marker: str) -> None:
    (tmp_path / "nemo").mkdir()
    (tmp_path / "nemo" / "export.json").write_text(marker)

    with pytest.raises(ExportError, match=r"holds export.json"):
        export(dataset, FORMATS["nemo"])


def test_a_target_inside_the_dataset_and_a_file_are_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for target, message in (
        (dataset / "out", "overlaps"),
        (dataset, "overlaps"),
        (tmp_path / "file", "is a file"),
    ):
        with pytest.raises(ExportError, match=message):
            export_dataset(dataset, target, FORMATS["nemo"])


def test_a_dataset_without_audio_is_refused_with_the_remedy(tmp_path: Path) -> None:
    build_dataset(tmp_path, IDS[2:4], license="unknown")
    published = publish_to_directory(tmp_path / "dataset", tmp_path / "public").target

    with pytest.raises(ExportError, match="simulsa materialize"):
        export_dataset(published, tmp_path / "out", FORMATS["nemo"])
    assert not (tmp_path / "out").exists()


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_id_names_a_plain_file_below_audio(id: str) -> None:
    folder, name = audio_name(id).split("/")

    assert folder == "audio"
    assert name.isascii()
    assert len(name) <= 100
    assert name.endswith(".flac")
    assert not name.startswith(".")


@settings(deadline=None, max_examples=100)
@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=2))
def test_different_ids_have_different_files_even_where_case_is_ignored(ids: set[str]) -> None:
    assert len({audio_name(id).lower() for id in ids}) == len(ids)
