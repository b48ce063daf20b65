"""Pictures for a dataset card: how long the kept audio is, how that fits the Beta law, how long the targets are.

PNG, for the Hub shows that everywhere. Equal rows give equal bytes with one version of Pillow, on any machine: it
brings the font that is used.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from augment.atomic import write_bytes
from augment.beta import beta_cdf

_WIDTH, _HEIGHT = 640, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 34, 16, 44
_BINS, _TICKS = 20, 5
_INK, _GREY, _BARS, _LAW = "#222222", "#999999", "#4c78a8", "#e45756"

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A histogram below `pictures/`; `expected` are the rows per bin by a law, drawn as a line."""

    name: str
    title: str
    values: Values
    high: float
    expected: tuple[float, ...] = ()


def write_pictures(dataset_dir: Path, shards: Sequence[str], *, alpha: float, beta: float) -> list[str]:
    """Draw the rows' pictures; their paths below the dataset directory, none where there is no row."""
    kept_ratio, duration_s, length_ratio = _columns(dataset_dir, shards)
    if not len(kept_ratio):
        return []
    pictures = (
        Picture(
            name="kept-share", title=f"kept share of the audio; line: Beta({alpha:g}, {beta:g})",
            values=kept_ratio, high=1.0, expected=_expected(kept_ratio, alpha, beta),
        ),
        Picture(name="kept-seconds", title="kept audio in seconds", values=duration_s, high=float(duration_s.max())),
        Picture(
            name="length-ratio", title="length ratio of the partial target to its draft; top 1 % in the last bar",
            values=length_ratio, high=float(np.percentile(length_ratio, 99)) or 1.0,
        ),
    )  # fmt: skip
    names = [f"pictures/{picture.name}.png" for picture in pictures]
    for name, picture in zip(names, pictures, strict=True):
        write_bytes(dataset_dir / name, _png(picture))
    return names


def _columns(dataset_dir: Path, shards: Sequence[str]) -> tuple[Values, Values, Values]:
    columns = ["kept_ratio", "duration_s", "qc.length_ratio"]
    tables = [
        pq.read_table(dataset_dir / name, columns=columns, partitioning=None).flatten() for name in shards
    ]
    ratio, seconds, length = (
        np.concatenate([table.column(index).to_numpy() for table in tables]) for index in range(len(columns))
    )
    return ratio, seconds, length


def _expected(kept_ratio: Values, alpha: float, beta: float) -> tuple[float, ...]:
    """Rows per bin by the law of the kept share, or of the removed one where that is nearer to the rows.

    Rows do not say of which share the law was; where both are alike so is the line.
    """
    mean = alpha / (alpha + beta)
    if abs(float(kept_ratio.mean()) - mean) > abs(float(kept_ratio.mean()) - (1 - mean)):
        alpha, beta = beta, alpha
    edges = [beta_cdf(index / _BINS, alpha, beta) for index in range(_BINS + 1)]
    return tuple(len(kept_ratio) * (high - low) for low, high in pairwise(edges))


def _png(picture: Picture) -> bytes:
    """Bars, the line of the law, labels."""
    counts, _ = np.histogram(np.minimum(picture.values, picture.high), bins=_BINS, range=(0.0, picture.high))
    top = max(float(counts.max()), *picture.expected, 1.0)
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=13)

    def at(share: float, rows: float) -> tuple[float, float]:
        x = _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - rows / top * (_HEIGHT - _TOP - _BOTTOM)
        return x, y

    for index, count in enumerate(counts):
        (left, upper), (right, lower) = (
            at((index + 0.08) / _BINS, float(count)),
            at((index + 0.92) / _BINS, 0.0),
        )
        draw.rectangle((left, upper, right, lower), fill=_BARS)
    draw.line((*at(0.0, 0.0), *at(1.0, 0.0)), fill=_INK, width=1)
    if picture.expected:
        line = [at((index + 0.5) / _BINS, rows) for index, rows in enumerate(picture.expected)]
        draw.line(line, fill=_LAW, width=3, joint="curve")
    _label(draw, font, picture, top, at)
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def _label(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    picture: Picture,
    top: float,
    at: Callable[[float, float], tuple[float, float]],
) -> None:
    draw.text((_LEFT, 8), picture.title, fill=_INK, font=font)
    for tick in range(_TICKS + 1):
        x, y = at(tick / _TICKS, 0.0)
        text = f"{picture.high * tick / _TICKS:.3g}"
        draw.text((x, y + 6), text, fill=_INK, font=font, anchor="ma")
    for rows in (0.0, top):
        x, y = at(0.0, rows)
        draw.text((x - 6, y), f"{rows:.0f}", fill=_INK, font=font, anchor="rm")
    draw.text((_LEFT, (_HEIGHT - 18)), f"{len(picture.values)} rows", fill=_GREY, font=font)
