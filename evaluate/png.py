"""SVG pictures as PNG, by the optional resvg; nothing is drawn that would lack its letters."""

from __future__ import annotations

from importlib.util import find_spec

ZOOM = 2
"""Pixels per unit of a picture: sharp on paper and in slides."""
_LETTERS = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="15">{}</text></svg>'


def why_no_png() -> str | None:
    """What is missing to write PNG files, and the remedy; None where nothing is."""
    if find_spec("resvg_py") is None:
        return "no PNG of the pictures: pip install 'resvg-py>=0.5,<1', then the same report again"
    if _draw(_LETTERS.format("BLEU")) == _draw(_LETTERS.format("")):
        return (
            "no PNG of the pictures: this machine has no font to write with; install one (fonts-dejavu-core)"
        )
    return None


def svg_to_png(svg: str) -> bytes:
    """The picture at ZOOM pixels per unit; needs what `why_no_png` asks for."""
    return _draw(svg, zoom=ZOOM)


def _draw(svg: str, zoom: int = 1) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom))
