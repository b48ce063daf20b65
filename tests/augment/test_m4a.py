"""m4a is read like any other audio where PyAV is installed, and says what is missing where it is not."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.audio import AudioError, read_segment
from augment.corpora.sound import encoded_seconds, header_seconds, read_encoded
from augment.m4a import m4a_libraries
from augment.schema import AudioRef

av: Any = pytest.importorskip("av") if find_spec("av") or not os.environ.get("CI") else __import__("av")

REF = AudioRef(path="a.m4a")


def write_m4a(
    path: Path, seconds: float = 3.0, *, rate_hz: int = 44_100, channels: int = 1, codec: str = "aac"
) -> None:
    """A rising tone as AAC or ALAC."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = (0.3 * np.sin(2 * np.pi * (200 + 100 * time_s) * time_s)).astype(np.float32)
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout, bit_rate=128_000)
        planes = np.stack([wave] * channels)
        form = "fltp"
        if codec == "alac":
            planes, form = np.rint(planes * 32767).astype(np.int16), "s16p"
        frame = av.AudioFrame.from_ndarray(planes, format=form, layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def rising(seconds: float) -> Any:
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    return 0.3 * np.sin(2 * np.pi * (200 + 100 * time_s) * time_s)


def alike(one: Any, other: Any) -> float:
    length = min(len(one), len(other))
    return float(np.corrcoef(one[:length], other[:length])[0, 1])


@pytest.mark.parametrize(
    ("rate_hz", "channels", "codec"),
    [(44_100, 1, "aac"), (48_000, 2, "aac"), (16_000, 1, "aac"), (16_000, 1, "alac"), (48_000, 2, "alac")],
)
def test_m4a_is_the_sound_that_went_in(tmp_path: Path, rate_hz: int, channels: int, codec: str) -> None:
    write_m4a(tmp_path / "a.m4a", rate_hz=rate_hz, channels=channels, codec=codec)

    whole = read_segment(tmp_path / "a.m4a", REF)

    assert len(whole) == pytest.approx(48_000, abs=16)
    assert alike(whole, rising(3.0)) > 0.999
    np.testing.assert_array_equal(read_encoded((tmp_path / "a.m4a").read_bytes(), "a.m4a"), whole)
    for seconds in (
        header_seconds(tmp_path / "a.m4a", REF),
        encoded_seconds((tmp_path / "a.m4a").read_bytes(), "a.m4a"),
    ):
        assert seconds == pytest.approx(3.0, abs=0.001)


@pytest.mark.parametrize("offset_s", [0.0, 0.5, 2.25, 6.0])
def test_a_part_begins_at_its_sample(tmp_path: Path, offset_s: float) -> None:
    write_m4a(tmp_path / "a.m4a", 8.0)

    part = read_segment(tmp_path / "a.m4a", AudioRef(path="a.m4a", offset_s=offset_s, duration_s=1.0))

    assert len(part) == 16_000
    start = round(offset_s * 16_000)
    assert alike(part, rising(8.0)[start : start + 16_000]) > 0.999


def test_a_part_past_the_end_is_refused_as_of_any_file(tmp_path: Path) -> None:
    write_m4a(tmp_path / "a.m4a")
    with pytest.raises(AudioError, match="audio_offset_past_end"):
        read_segment(tmp_path / "a.m4a", AudioRef(path="a.m4a", offset_s=4.0))
    with pytest.raises(AudioError, match="audio_ends_early"):
        read_segment(tmp_path / "a.m4a", AudioRef(path="a.m4a", offset_s=1.0, duration_s=3.0))


@settings(deadline=None, max_examples=30)
@given(keep=st.floats(0, 1), at=st.floats(0, 1), noise=st.binary(max_size=30))
def test_a_damaged_m4a_is_an_audio_error_or_is_read_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, keep: float, at: float, noise: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.m4a"
    write_m4a(path, 1.0)
    whole = path.read_bytes()
    place = int(at * len(whole))
    damaged = whole[:place] + noise + whole[place + len(noise) :]
    path.write_bytes(damaged[: int(keep * len(damaged))])
    for use in (read_segment, header_seconds):
        try:
            use(path, REF)
        except AudioError as error:
            assert str(path.parent) not in error.detail or error.reason == "audio_missing"  # noqa: PT017


def test_its_decoder_is_named_only_where_it_is_used() -> None:
    assert m4a_libraries([Path("a.wav"), Path("b.mp3")]) == {}
    assert m4a_libraries([Path("a.wav"), Path("b.M4A")]) == {"av": av.__version__}


@pytest.mark.parametrize("name", ["a.mp4", "a.m4b", "a.mov", "a.3gp", "shard.parquet", "clips.zip"])
def test_its_decoder_is_named_where_a_file_may_hold_m4a(name: str) -> None:
    assert m4a_libraries([Path(name)]) == {"av": av.__version__}
