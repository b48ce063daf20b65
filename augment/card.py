"""Cards: YAML that the Hub and `datasets` read, then prose for a person, all from manifests.

Between its two marks a card is rewritten at every publication; what a person wrote around them stays.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from augment.atomic import file_sha256, write_bytes
from augment.examples import card_features
from augment.licences import card_licence
from augment.manifest import BESIDE_SHARDS, DatasetManifest
from augment.pictures import write_pictures
from augment.quality import QualitySummary, summarise_quality
from lalm.errors import SimulsaError

CARD_NAME = "README.md"
BEGIN = (
    "<!-- simulsa:begin: rewritten at every publication up to simulsa:end. "
    "Write above or below: that stays, as do YAML keys and tags of your own. -->"
)
END = "<!-- simulsa:end -->"

_BEGIN_LINE = re.compile(r"^<!-- simulsa:begin\b.*-->[ \t]*$", re.MULTILINE)
_END_LINE = re.compile(r"^<!-- simulsa:end\b.*-->[ \t]*$", re.MULTILINE)
_TEMPLATES = Path(__file__).parent / "templates"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_SOMETIMES_OURS = ("license_name", "license_link")


class CardError(SimulsaError):
    """A card on the Hub whose own sections cannot be told from the generated one."""


def write_card(dataset_dir: Path, manifest: DatasetManifest) -> DatasetManifest:
    """Write README.md and its pictures for this manifest and the shards beside it; the manifest that names them."""
    shards = [shard.path for shard in manifest.shards]
    law = manifest.provenance
    pictures = write_pictures(dataset_dir, shards, alpha=law.alpha, beta=law.beta)
    quality = summarise_quality(dataset_dir, shards)
    write_bytes(dataset_dir / CARD_NAME, render_card(manifest, quality, pictures).encode())
    files = {name: file_sha256(dataset_dir / name) for name in (*BESIDE_SHARDS, *pictures)}
    return dataclasses.replace(manifest, files=files)


def render_card(manifest: DatasetManifest, quality: QualitySummary, pictures: Sequence[str] = ()) -> str:
    """The whole card as text; equal datasets give equal cards."""
    return render(
        "README.md.j2", card_metadata(manifest), m=manifest, quality=quality.to_markdown(), pictures=pictures
    )


def render(template: str, metadata: dict[str, Any], **values: Any) -> str:
    """A card from one of the templates: its YAML block, then the text between the marks."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown, not HTML
    )
    page = environment.get_template(template)
    return page.render(front_matter=_yaml(metadata), begin=BEGIN, end=END, **values)


def merge_card(generated: str, published: bytes | None) -> str:
    """The generated card with what a person added to the published one: text around the marks, YAML keys, tags.

    A published card without marks is a person's and stays whole, below the generated text. Merging twice changes
    nothing. Raises CardError when one mark is missing or doubled, or the YAML cannot be read.
    """
    if published is None:
        return generated
    front, body = _split(generated)
    their_front, their_body = _split(_text(published))
    begins, ends = list(_BEGIN_LINE.finditer(their_body)), list(_END_LINE.finditer(their_body))
    if not begins and not ends:
        own = their_body.strip("\n")
        return _joined(_merged(front, their_front), body + (f"\n{own}\n" if own else ""))
    if len(begins) != 1 or len(ends) != 1 or begins[0].start() > ends[0].start():
        raise CardError(
            f"the published {CARD_NAME} must have one line simulsa:begin and below it one simulsa:end, but has "
            f"{len(begins)} and {len(ends)}: restore them around the generated text, or delete both"
        )
    above, below = their_body[: begins[0].start()], their_body[ends[0].end() :]
    return _joined(_merged(front, their_front), above + body.strip("\n") + below)


def card_metadata(manifest: DatasetManifest) -> dict[str, Any]:
    """The YAML block: a wrong row count in `dataset_info` makes `load_dataset` fail, not load less."""
    num_bytes = sum(shard.num_bytes for shard in manifest.shards)
    rows = manifest.counts.rows
    return {
        "pretty_name": manifest.name,
        **card_licence(manifest.license),
        "language": sorted({*manifest.summary.src_langs, *manifest.summary.tgt_langs}),
        "task_categories": ["translation", "automatic-speech-recognition"],
        "tags": ["simultaneous-translation", "speech-translation", "synthetic", manifest.provenance.method],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "n>1M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}],
        "dataset_info": {
            "features": card_features(),
            "splits": [{"name": "train", "num_bytes": num_bytes, "num_examples": rows}],
            "download_size": num_bytes,
            "dataset_size": num_bytes,
        },
    }


def _merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Our keys win; tags are joined; a key that only we write goes when we no longer write it."""
    own = {key: value for key, value in theirs.items() if key not in ours and key not in _SOMETIMES_OURS}
    merged = ours | own
    tags = theirs.get("tags")
    if isinstance(tags, list) and "tags" in ours:
        merged["tags"] = [*ours["tags"], *(tag for tag in tags if tag not in ours["tags"])]
    return merged


def _split(card: str) -> tuple[dict[str, Any], str]:
    """The YAML block as a mapping, and all that follows it."""
    found = re.match(r"---[ \t]*\n(.*?)^---[ \t]*$\n?", card, re.DOTALL | re.MULTILINE)
    if found is None:
        return {}, card
    try:
        front = yaml.safe_load(found.group(1))
    except yaml.YAMLError as error:
        raise CardError(f"the YAML of the published {CARD_NAME} cannot be read ({error}): mend it") from error
    if not isinstance(front, dict | None):
        raise CardError(f"the YAML of the published {CARD_NAME} must be a mapping: mend it")
    return front or {}, card[found.end() :]


def _joined(front: dict[str, Any], body: str) -> str:
    return f"---\n{_yaml(front)}\n---\n{body}"


def _text(published: bytes) -> str:
    try:
        return published.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise CardError(f"the published {CARD_NAME} must be UTF-8 ({error}): mend it") from error


def _yaml(metadata: dict[str, Any]) -> str:
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=100).rstrip()
