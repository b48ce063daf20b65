"""The dataset card: YAML that the Hub and `datasets` read, then prose for a person, all from the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import yaml

from augment.atomic import write_bytes
from augment.examples import card_features
from augment.licences import hub_name
from augment.manifest import DatasetManifest

CARD_NAME = "README.md"

_TEMPLATES = Path(__file__).parent / "templates"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(dataset_dir: Path, manifest: DatasetManifest) -> None:
    """Write README.md for this manifest."""
    write_bytes(dataset_dir / CARD_NAME, render_card(manifest).encode())


def render_card(manifest: DatasetManifest) -> str:
    """The whole card as text; equal manifests give equal cards."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown, not HTML
    )
    front = yaml.safe_dump(card_metadata(manifest), sort_keys=False, allow_unicode=True, width=100)
    return environment.get_template("README.md.j2").render(front_matter=front.rstrip(), m=manifest)


def card_metadata(manifest: DatasetManifest) -> dict[str, Any]:
    """The YAML block: a wrong row count in `dataset_info` makes `load_dataset` fail, not load less."""
    num_bytes = sum(shard.num_bytes for shard in manifest.shards)
    rows = manifest.counts.rows
    license = hub_name(manifest.license)
    return {
        "pretty_name": manifest.name,
        "license": license,
        **({"license_name": manifest.license} if license == "other" else {}),
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
