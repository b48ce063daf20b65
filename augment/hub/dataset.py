"""A dataset on the Hub: what of it may leave, under which title, and how its rows are counted there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from augment.card import CARD_NAME
from augment.hub.patience import Patience
from augment.hub.publication import Parcel, Place, Publication, publish
from augment.hub.remote import Remote
from augment.hub.tokens import find_token, require_token
from augment.hub.turns import turn
from augment.manifest import DatasetManifest, verify_dataset
from augment.publish import audio_decision, stage_copy


def publish_dataset(
    dataset_dir: Path,
    place: Place,
    *,
    audio: bool | None = None,
    run_id: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
    patience: Patience | None = None,
) -> Publication:
    """Publish a verified dataset as one commit, within what its licence allows; see `augment.publish`.

    `audio=None` lets the licence decide, `run_id` defaults to the dataset's digest, `token` to HF_TOKEN or the login,
    `endpoint` to HF_ENDPOINT. Raises PublishError when nothing may leave, HubError when the Hub refuses.
    """
    manifest = verify_dataset(dataset_dir)
    embed, reason = audio_decision(manifest, audio)
    remote = Remote(
        place.repo, "dataset", token=find_token(token) if dry_run else require_token(token), endpoint=endpoint
    )
    with turn(remote), tempfile.TemporaryDirectory(prefix="simulsa-") as staging:
        published = stage_copy(dataset_dir, Path(staging), manifest, audio=embed, link=True)
        note = f"{'with' if embed else 'without'} audio: {reason}"
        parcel = _parcel(Path(staging), published, run_id or published.dataset_digest[:12], note)
        return publish(parcel, place, remote, patience=patience or Patience(), dry_run=dry_run)


def _parcel(staging: Path, manifest: DatasetManifest, run_id: str, note: str) -> Parcel:
    found = {path.relative_to(staging).as_posix(): path for path in staging.rglob("*") if path.is_file()}
    card = found.pop(CARD_NAME)
    return Parcel(
        kind="dataset",
        title=f"Publish {manifest.counts.rows} rows of {manifest.name} ({run_id})",
        files=found,
        card=card.read_text(encoding="utf-8"),
        owned=("data/",),
        mark="dataset_digest",
        digest=manifest.dataset_digest,
        rows={shard.path: shard.rows for shard in manifest.shards},
        note=note,
    )
