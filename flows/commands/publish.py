"""What to do with results: publish."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from flows.commands.common import RESULTS, DryRun, Json, answer, app

HUB = Group("On the Hub (with --repo)", sort_key=10)
ADAPTER = Group("An adapter's card (with --repo)", sort_key=11)


@app.command(group=RESULTS)
def publish(
    directory: Annotated[Path, Parameter(help="A dataset or an adapter, e.g. outputs/demo/dataset.")],
    /,
    *,
    repo: Annotated[
        str | None, Parameter(help="Publish to the Hugging Face Hub as NAMESPACE/NAME, made if missing.")
    ] = None,
    to: Annotated[
        Path | None, Parameter(help="Publish a dataset to this directory; replaced whole or not at all.")
    ] = None,
    private: Annotated[
        bool, Parameter(negative="--public", group=HUB, help="Who can read a new repository: you, or all.")
    ] = True,
    branch: Annotated[str | None, Parameter(group=HUB, help="Commit to this branch instead of main.")] = None,
    pull_request: Annotated[
        bool, Parameter(negative=(), group=HUB, help="Open a pull request instead of committing.")
    ] = False,
    tag: Annotated[str | None, Parameter(group=HUB, help="Tag the published commit, e.g. v1.0.")] = None,
    base: Annotated[
        str | None, Parameter(group=ADAPTER, help="Its base model on the Hub, NAMESPACE/NAME.")
    ] = None,
    data: Annotated[
        str | None, Parameter(group=ADAPTER, help="The dataset it was trained on, NAMESPACE/NAME@REVISION.")
    ] = None,
    license_: Annotated[
        str | None, Parameter(name="--license", group=ADAPTER, help="Its licence, e.g. cc-by-4.0.")
    ] = None,
    summary: Annotated[
        Path | None, Parameter(group=ADAPTER, help="A run's summary.json: its scores go on the card.")
    ] = None,
    curve: Annotated[
        Path | None, Parameter(group=ADAPTER, help="A picture of quality against latency for the card.")
    ] = None,
    dry_run: DryRun = False,
    json_: Json = False,
) -> None:
    """Publish a dataset or an adapter: the Hub gets one commit, a directory is replaced in one step.

    Audio goes along only where its licence allows it, and a no-derivatives licence lets nothing leave. The token is
    HF_TOKEN or that of `hf auth login`. Publishing the same again makes no commit; after a failure, the same command
    goes on where it was. --dry-run shows the files that would be added, changed and removed.
    """
    from augment.hub.adapter import AdapterFacts, is_adapter, publish_adapter
    from augment.hub.dataset import publish_dataset
    from augment.hub.publication import Place
    from augment.publish import PublishError, publish_to_directory
    from flows.outcome import print_published

    if (repo is None) == (to is None):
        raise PublishError(
            f"publish {directory}: give exactly one of --repo NAMESPACE/NAME and --to DIRECTORY"
        )
    facts = AdapterFacts(base=base, dataset=data, license=license_, summary=summary, curve=curve)
    adapter = is_adapter(directory)
    if facts != AdapterFacts() and not adapter:
        raise PublishError(
            f"{directory} is no adapter: --base, --data, --license, --summary and --curve describe one"
        )
    if to is not None:
        if adapter or branch or pull_request or tag or not private:
            raise PublishError("--to takes a dataset and none of the Hub's options: use --repo for these")
        answer(_plain(publish_to_directory(directory, to, dry_run=dry_run)), json_, print_published)
        return
    place = Place(repo=repo or "", private=private, branch=branch, pull_request=pull_request, tag=tag)
    result = (
        publish_adapter(directory, place, facts, dry_run=dry_run)
        if adapter
        else publish_dataset(directory, place, dry_run=dry_run)
    )
    answer(_plain(result), json_, print_published)


def _plain(result: Any) -> dict[str, Any]:
    """The facts of a publication as JSON knows them."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(result).items()}
