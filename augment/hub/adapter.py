"""An adapter on the Hub: its two files, its manifest, and a card that says on what it was trained and how it does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.card import render
from augment.hub.errors import HubError
from augment.hub.patience import Patience
from augment.hub.publication import Parcel, Place, Publication, publish
from augment.hub.remote import Remote
from augment.hub.tokens import find_token, require_token
from augment.licences import card_licence, forbids_derivatives
from augment.manifest import MANIFEST_NAME
from lalm.adapters import CONFIG_FILE, WEIGHTS_FILE, check_adapter

PICTURES = (".png", ".svg", ".jpg", ".webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFacts:
    """What an adapter's own files do not say: its base and data on the Hub, its licence, its scores, their picture.

    `base` is `NAMESPACE/NAME`, `dataset` `NAMESPACE/NAME@REVISION`, `summary` a run's summary.json, `curve` a picture
    of quality against latency.
    """

    base: str | None = None
    dataset: str | None = None
    license: str | None = None
    summary: Path | None = None
    curve: Path | None = None


def is_adapter(directory: Path) -> bool:
    """Whether the directory holds an adapter rather than a dataset."""
    return (directory / CONFIG_FILE).is_file()


def publish_adapter(
    adapter_dir: Path,
    place: Place,
    facts: AdapterFacts | None = None,
    *,
    run_id: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
    patience: Patience | None = None,
) -> Publication:
    """Publish an adapter as one commit of a model repository; its directory's other files stay where they are.

    Defaults are those of `publish_dataset`. Raises ModelError for a directory that holds no adapter in safetensors,
    HubError when something named is unreadable, when the licence forbids derivatives, or when the Hub refuses.
    """
    check_adapter(adapter_dir)
    parcel = _parcel(adapter_dir, facts or AdapterFacts(), place.repo, run_id)
    remote = Remote(
        place.repo, "model", token=find_token(token) if dry_run else require_token(token), endpoint=endpoint
    )
    return publish(parcel, place, remote, patience=patience or Patience(), dry_run=dry_run)


def _parcel(adapter_dir: Path, facts: AdapterFacts, repo: str, run_id: str | None) -> Parcel:
    manifest = _read_json(
        adapter_dir / MANIFEST_NAME, "adapter_digest", "an adapter that fine-tuning finished"
    )
    if facts.license and forbids_derivatives(facts.license):
        raise HubError(
            f"{adapter_dir} was trained on data under {facts.license!r}, which forbids derivatives"
        )
    picture = {f"curve{facts.curve.suffix}": facts.curve} if facts.curve else {}
    for path in picture.values():
        if path.suffix not in PICTURES or not path.is_file():
            raise HubError(f"the curve {path} must be a picture that exists ({', '.join(PICTURES)})")
    files = {name: adapter_dir / name for name in (CONFIG_FILE, WEIGHTS_FILE, MANIFEST_NAME)}
    return Parcel(
        kind="model",
        title=f"Publish adapter of {manifest['base_model']} ({run_id or manifest['adapter_digest'][:12]})",
        files=files | picture,
        card=_card(manifest, facts, repo, next(iter(picture), None)),
        owned=("curve.",),
        mark="adapter_digest",
        digest=manifest["adapter_digest"],
    )


def _card(manifest: Mapping[str, Any], facts: AdapterFacts, repo: str, picture: str | None) -> str:
    base = facts.base or manifest["base_model"]
    metadata: dict[str, Any] = {
        "library_name": "peft",
        **(card_licence(facts.license) if facts.license else {}),
        "base_model": base,
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["simultaneous-translation", "speech-translation", "lora", "simulsa"],
        **({"datasets": [facts.dataset.partition("@")[0]]} if facts.dataset else {}),
    }
    system = "simulsa" if manifest["augmented_rows"] else "control"
    scores = _scores(facts.summary, system) if facts.summary else []
    return render(
        "adapter.md.j2", metadata, m=manifest, base=base, repo=repo, system=system, dataset=facts.dataset,
        scores=scores, picture=picture,
    )  # fmt: skip


def _scores(summary: Path, system: str) -> list[dict[str, Any]]:
    """The points of the adapter's curve beside the base model's, by chunk size."""
    curves = _read_json(summary, "curves", "the summary.json of a run")["curves"]
    try:
        base = {point["chunk_ms"]: point for point in curves.get("base", ())}
        return [_row(point, base.get(point["chunk_ms"])) for point in _by_chunk(curves.get(system, ()))]
    except (AttributeError, KeyError, TypeError) as error:
        raise HubError(f"{summary} has curves of another form ({error!r}): evaluate again") from error


def _by_chunk(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The whole utterance last."""
    return sorted(points, key=lambda point: point["chunk_ms"] or float("inf"))


def _row(point: Mapping[str, Any], base: Mapping[str, Any] | None) -> dict[str, Any]:
    chunk = point["chunk_ms"]
    columns = {
        "chunk": "whole" if chunk is None else chunk,
        "bleu": point["bleu"],
        "laal_ms": point["laal_ms"],
    }
    return columns | {"base_bleu": (base or {}).get("bleu"), "base_laal_ms": (base or {}).get("laal_ms")}


def _read_json(path: Path, key: str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HubError(f"{path} must be the file of {what}, but cannot be read ({error})") from error
    if not isinstance(content, dict) or key not in content:
        raise HubError(f"{path} must be the file of {what}, but has no {key!r}")
    return content
