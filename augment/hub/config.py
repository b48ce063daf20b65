"""The `publish:` section of a run, and the address of a published dataset."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TokenSecret = Annotated[
    str | None,
    Field(
        description="Prefect Secret block that holds the Hub token; null: HF_TOKEN or `hf auth login`.",
        min_length=1,
    ),
]
REPO = r"^[\w][\w.-]*/[\w][\w.-]*$"


class PublishConfig(BaseModel):
    """Where a run's dataset is published, and what may leave the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repo: str = Field(
        description="Dataset repository on the Hub, NAMESPACE/NAME; made if missing.", pattern=REPO
    )
    private: bool = Field(default=True, description="Only you and your organisation can read it.")
    audio: bool | None = Field(
        default=None, description="Publish the kept audio: true, false, or null to let the licence decide."
    )
    branch: str | None = Field(default=None, description="Branch to commit to; null is main.", min_length=1)
    pull_request: bool = Field(default=False, description="Open a pull request instead of committing.")
    tag: str | None = Field(default=None, description="Tag for the published commit.", min_length=1)
    token_secret: TokenSecret = None

    @model_validator(mode="after")
    def _wishes_agree(self) -> Self:
        if self.pull_request and (self.branch or self.tag):
            raise ValueError("pull_request excludes branch and tag: tag after merging")
        return self


class HubDatasetConfig(BaseModel):
    """A published dataset at a revision, to fine-tune on instead of building one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repo: str = Field(description="Dataset repository on the Hub, NAMESPACE/NAME.", pattern=REPO)
    revision: str = Field(description="Tag or commit; a branch works but may move.", min_length=1)
    token_secret: TokenSecret = None
