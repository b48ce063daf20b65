"""The card's pictures say what the rows say, byte for byte, and leave with them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from augment.manifest import load_manifest
from augment.pictures import _expected, write_pictures
from augment.publish import publish_to_directory
from augment.shards import write_shard
from tests.support.examples import build_dataset

NAMES = ["pictures/kept-share.png", "pictures/kept-seconds.png", "pictures/length-ratio.png"]
Dataset = Callable[..., Path]


def bars(picture: bytes) -> int:
    """How much of a picture is drawn in the colour of the bars."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    return int((pixels == (0x4C, 0x78, 0xA8)).all(axis=2).sum())


def test_a_dataset_has_its_pictures_in_card_and_manifest(tmp_path: Path) -> None:
    manifest = build_dataset(tmp_path, "abc")

    card = (tmp_path / "dataset" / "README.md").read_text()
    for name in NAMES:
        content = (tmp_path / "dataset" / name).read_bytes()
        assert f"]({name})" in card
        assert manifest.files[name] == hashlib.sha256(content).hexdigest()
        assert Image.open(io.BytesIO(content)).size == (640, 300)
        assert bars(content) > 500


def test_pictures_follow_the_rows_and_nothing_else(tmp_path: Path) -> None:
    one, same = build_dataset(tmp_path / "one", "abc"), build_dataset(tmp_path / "same", "abc", n_shards=3)
    other = build_dataset(tmp_path / "other", "abc", texts={"a": "", "b": "wir"})

    drawn = [[manifest.files[name] for name in NAMES] for manifest in (one, same, other)]
    assert drawn[0] == drawn[1]
    assert drawn[0][:2] == drawn[2][:2]
    assert drawn[0][2] != drawn[2][2]


def test_a_published_copy_without_audio_has_the_same_pictures(tmp_path: Path) -> None:
    built = build_dataset(tmp_path, "abc", license="unknown")

    publish_to_directory(tmp_path / "dataset", tmp_path / "public")

    published = load_manifest(tmp_path / "public")
    assert [published.files[name] for name in NAMES] == [built.files[name] for name in NAMES]


def test_no_row_is_no_picture(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, "data/a.parquet", [])

    assert write_pictures(tmp_path, [shard.path], alpha=1.0, beta=3.0) == []
    assert not (tmp_path / "pictures").exists()


@settings(deadline=None, max_examples=50)
@given(alpha=st.floats(0.2, 20), beta=st.floats(0.2, 20), rows=st.integers(1, 10_000), mirrored=st.booleans())
def test_the_line_is_the_law_of_the_rows_and_holds_as_many(
    alpha: float, beta: float, rows: int, mirrored: bool
) -> None:
    mean = alpha / (alpha + beta)
    expected = _expected(np.full(rows, 1 - mean if mirrored else mean), alpha, beta)

    assert sum(expected) == pytest.approx(rows)
    centre = sum((index + 0.5) / 20 * count for index, count in enumerate(expected)) / rows
    assert centre == pytest.approx(1 - mean if mirrored else mean, abs=0.03)
