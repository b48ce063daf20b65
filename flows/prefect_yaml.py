"""The keys of a prefect.yaml that are known here: Prefect has a few more, and reads a misspelt one as none."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Section(BaseModel):
    """A mapping in which only known keys count."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(Section):
    """One entry of `schedules`."""

    cron: str | None = None
    interval: float | None = None
    rrule: str | None = None
    timezone: str | None = None
    anchor_date: str | None = None
    active: bool = True
    slug: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class Limit(Section):
    """How many runs of a deployment at once, and what becomes of one more."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"
    grace_period_seconds: int | None = Field(default=None, ge=60)


class Pool(Section):
    """A work pool as a deployment names it."""

    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Deployment(Section):
    """One entry of `deployments`."""

    name: str
    entrypoint: str
    work_pool: Pool
    description: str | None = None
    tags: list[str] = Field(default_factory=list)
    version: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    schedules: list[Schedule] = Field(default_factory=list)
    concurrency_limit: Limit | None = None
    paused: bool | None = None
    triggers: list[dict[str, Any]] = Field(default_factory=list)
    pull: list[dict[str, Any]] | None = None

    @field_validator("concurrency_limit", mode="before")
    @classmethod
    def _limit_alone(cls, value: Any) -> Any:
        return {"limit": value} if isinstance(value, int) else value


class Definitions(Section):
    """What YAML anchors point to; `work_pools` are all the pools there are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    work_pools: dict[str, Pool]


class PrefectFile(Section):
    """prefect.yaml."""

    name: str
    definitions: Definitions
    deployments: list[dict[str, Any]] = Field(min_length=1)
    pull: list[dict[str, Any]] | None = None
