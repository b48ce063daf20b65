"""Examples carry the right audio and target; what cannot be used is counted by reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.audio import AudioError
from augment.publish import publish_to_directory
from augment.schema import Utterance
from augment.shards import ShardError
from lalm.loading import LoadedModel
from lalm.prompts import Prompt, decode
from tests.support.examples import build_dataset, load_kept, truncated, utterance
from tests.support.micro import random_waveform
from tests.train.conftest import OFFLINE, load_audio
from train.data import Examples, load_rows, offline_digest
from train.errors import TrainError
from train.order import Draw


def make(loaded: LoadedModel, prompt: Prompt, **changes: Any) -> Examples:
    settings: dict[str, Any] = {
        "load_audio": load_audio,
        "tokenizer": loaded.tokenizer,
        "prompt": prompt,
        "window_samples": loaded.info.window_samples,
    }
    return Examples(OFFLINE, changes.pop("rows", []), **settings | changes)


def test_a_row_brings_its_kept_audio_and_its_partial_target(
    loaded: LoadedModel, prompt: Prompt, dataset_dir: Path
) -> None:
    rows, _ = load_rows(dataset_dir)
    examples = make(loaded, prompt, rows=rows).make([Draw(source="augmented", index=i) for i in range(3)])

    by_id = {example.id: example for example in examples}
    assert np.array_equal(by_id["r1"].clip.waveform, load_kept(truncated("r1")))
    assert decode(loaded.tokenizer, by_id["r1"].target_ids) == "wir werden"
    assert by_id["r2"].target_ids == (prompt.stop_ids[0],)


def test_an_offline_utterance_brings_its_whole_audio_and_target(loaded: LoadedModel, prompt: Prompt) -> None:
    (example,) = make(loaded, prompt).make([Draw(source="offline", index=2)])

    assert np.array_equal(example.clip.waveform, load_audio(OFFLINE[2]))
    assert decode(loaded.tokenizer, example.target_ids[:-1]) == OFFLINE[2].tgt_text
    assert example.target_ids[-1] == prompt.stop_ids[0]


def test_what_cannot_be_used_is_left_out_and_counted_by_reason(loaded: LoadedModel, prompt: Prompt) -> None:
    def audio(item: Utterance) -> Any:
        if item.id == "u00":
            raise AudioError("audio_missing", "gone")
        return random_waveform(1, {"u01": 32_001, "u02": 100}.get(item.id, 32_000))

    examples = make(loaded, prompt, load_audio=audio)
    made = examples.make([Draw(source="offline", index=i) for i in (0, 1, 2, 3, 0)])

    assert [example.id for example in made] == ["u03"]
    assert examples.drawn == {"offline": 1}
    assert examples.skipped == {
        "offline.audio_missing": 2,
        "offline.exceeds_model_window": 1,
        "offline.audio_too_short": 1,
    }


def test_only_drawn_utterances_are_decoded(loaded: LoadedModel, prompt: Prompt) -> None:
    decoded: list[str] = []

    def audio(item: Utterance) -> Any:
        decoded.append(item.id)
        return load_audio(item)

    make(loaded, prompt, load_audio=audio).make([Draw(source="offline", index=5)])
    assert decoded == ["u05"]


def test_a_copy_published_without_audio_cannot_be_trained_on(tmp_path: Path) -> None:
    build_dataset(tmp_path, ["a"], license="unknown")
    publish_to_directory(tmp_path / "dataset", tmp_path / "public")

    with pytest.raises(TrainError, match="row a holds no audio"):
        load_rows(tmp_path / "public")


def test_a_damaged_dataset_is_not_trained_on(tmp_path: Path) -> None:
    manifest = build_dataset(tmp_path, ["a"], n_shards=1)
    shard = tmp_path / "dataset" / manifest.shards[0].path
    shard.write_bytes(shard.read_bytes()[:-1])

    with pytest.raises(ShardError):
        load_rows(tmp_path / "dataset")


def test_the_offline_digest_follows_content_and_not_order() -> None:
    assert offline_digest(OFFLINE) == offline_digest(OFFLINE[::-1])
    assert offline_digest(OFFLINE) != offline_digest([*OFFLINE[1:], utterance("u00", tgt_text="anders")])
