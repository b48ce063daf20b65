"""prefect.yaml checked without a server: every entrypoint, parameter, schedule, pool and key.

Prefect accepts unknown keys and parameters silently and deploys an entrypoint that cannot be imported; what is wrong
then shows in a run at night. This module knows Prefect's format, and neither a server nor a work pool's type.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from prefect import Flow
from prefect.client.schemas.schedules import construct_schedule
from pydantic import BaseModel, TypeAdapter, ValidationError

from flows.config import PROFILES, ConfigError, RunConfig, parse_config
from flows.prefect_yaml import Deployment, PrefectFile

PREFECT_YAML = PROFILES.parent / "prefect.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One deployment, what it will do when it is well, and every problem it has."""

    name: str
    summary: str
    problems: tuple[str, ...]


def check_deployments(path: Path = PREFECT_YAML) -> list[Finding]:
    """Every deployment of a prefect.yaml; ConfigError when the file itself cannot be read as one."""
    file = _read(path)
    pools = {pool.name for pool in file.definitions.work_pools.values()}
    findings = []
    seen: set[str] = set()
    for index, raw in enumerate(file.deployments):
        finding = _check(raw, index, pools)
        problems = list(finding.problems)
        if finding.name in seen:
            problems.append(f"name: there is another {finding.name}, which this one replaces: rename one")
        if "/" in finding.name:
            seen.add(finding.name)
        located = tuple(f"{path}: deployment {finding.name}: {problem}" for problem in problems)
        findings.append(replace(finding, problems=located))
    return findings


def _read(path: Path) -> PrefectFile:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: name a prefect.yaml with --prefect-file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}. Compare it with {PREFECT_YAML}.") from error
    try:
        return PrefectFile.model_validate(raw)
    except ValidationError as error:
        problems = "\n".join(f"  - {text}" for text in _explain(error, PrefectFile))
        raise ConfigError(f"{path} has {error.error_count()} problem(s):\n{problems}") from None


def _check(raw: Mapping[str, Any], index: int, pools: set[str]) -> Finding:
    name = str(raw.get("name", f"number {index + 1}"))
    try:
        deployment = Deployment.model_validate(raw)
    except ValidationError as error:
        return Finding(name=name, summary="", problems=tuple(_explain(error, Deployment)))
    problems = [*_pool_problems(deployment, pools), *_schedule_problems(deployment)]
    try:
        flow = _load(deployment.entrypoint)
    except ConfigError as error:
        problems.append(f"entrypoint: {error}")
    else:
        name = f"{flow.name}/{name}"
        for where, given in _parameter_sets(deployment):
            problems += _parameter_problems(flow, given, where)
    return Finding(name=name, summary=_summary(deployment), problems=tuple(problems))


def _summary(deployment: Deployment) -> str:
    when = [
        f"{s.cron or s.rrule or s.interval}{'' if s.active else ' (inactive)'}" for s in deployment.schedules
    ]
    return f"{deployment.entrypoint} on {deployment.work_pool.name}, {', '.join(when) or 'no schedule'}"


def _pool_problems(deployment: Deployment, pools: set[str]) -> Iterator[str]:
    name = deployment.work_pool.name
    if name not in pools:
        yield (
            f"work_pool.name: no work pool {name!r}{_nearest(name, pools)}: "
            f"take one of {', '.join(sorted(pools))}, or declare it under definitions.work_pools"
        )


def _schedule_problems(deployment: Deployment) -> Iterator[str]:
    for index, schedule in enumerate(deployment.schedules):
        given = schedule.model_dump(include={"cron", "interval", "rrule", "timezone", "anchor_date"})
        given = {key: value for key, value in given.items() if value is not None}
        try:
            construct_schedule(**given)
        except (ValueError, TypeError) as error:
            text = "; ".join(_messages(error))
            yield (
                f"schedules.{index}: {given!r} is no schedule ({text}): give one of cron ('0 2 * * *'), interval "
                "(seconds) or rrule, and an IANA timezone"
            )


def _load(entrypoint: str) -> Flow[..., Any]:
    """The flow behind a module entrypoint; ConfigError where there is none."""
    module, _, attribute = entrypoint.rpartition(".")
    if ":" in entrypoint or "/" in entrypoint or not module:
        raise ConfigError(
            f"{entrypoint!r} is a path, which hides import errors: write it as package.module.function"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise ConfigError(
            f"{entrypoint!r} cannot be imported ({error}): correct it, or install what it needs"
        ) from error
    if not isinstance(found, Flow):
        raise ConfigError(
            f"{entrypoint!r} is a {type(found).__name__}, not a flow: name a function with @flow"
        )
    return found


def _parameter_sets(deployment: Deployment) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parameters of a run by hand, and of each schedule that has its own."""
    yield "parameters", deployment.parameters
    for index, schedule in enumerate(deployment.schedules):
        if schedule.parameters:
            yield f"schedules.{index}.parameters", deployment.parameters | schedule.parameters


def _parameter_problems(flow: Flow[..., Any], given: Mapping[str, Any], where: str) -> Iterator[str]:
    hints = get_type_hints(flow.fn)
    wanted = inspect.signature(flow.fn).parameters
    for name in given.keys() - wanted.keys():
        yield f"{where}.{name}: {flow.name} has no such parameter{_nearest(name, wanted)}: it takes {', '.join(wanted)}"
    for name, parameter in wanted.items():
        if name in given:
            yield from _value_problems(hints[name], given[name], f"{where}.{name}")
        elif parameter.default is inspect.Parameter.empty:
            yield f"{where}.{name}: missing, and {flow.name} cannot run without it: set it"


def _value_problems(kind: Any, value: Any, where: str) -> Iterator[str]:
    if kind is RunConfig and not isinstance(value, Mapping):
        yield f"{where}: {value!r} is no configuration: write out what `simulsa config show {value}` prints"
        return
    try:
        if kind is RunConfig:
            parse_config(value, where=where)
        else:
            TypeAdapter(kind).validate_python(value)
    except ConfigError as error:
        yield str(error)
    except ValidationError as error:
        yield from (f"{where}.{text}".replace(". ", ": ") for text in _explain(error, kind))


def _explain(error: ValidationError, model: Any) -> Iterator[str]:
    """`key: rule (got value)`, and for an unknown key the valid ones."""
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            valid = _fields(model, detail["loc"][:-1])
            yield f"{key}: unknown key{_nearest(str(detail['loc'][-1]), valid)}; valid here: {', '.join(valid)}"
        else:
            yield f"{key}: {detail['msg']} (got {detail['input']!r})"


def _fields(model: Any, location: tuple[Any, ...]) -> list[str]:
    """The fields of the model at a location, through lists, dictionaries and unions."""
    for part in location:
        if isinstance(part, str) and part in getattr(model, "model_fields", {}):
            model = model.model_fields[part].annotation
        model = next(_models(model), model)
    return list(getattr(model, "model_fields", {}))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def _messages(error: Exception) -> list[str]:
    if isinstance(error, ValidationError):
        return [detail["msg"] for detail in error.errors()]
    return [str(error)]


def _nearest(name: str, valid: Any) -> str:
    near = difflib.get_close_matches(name, list(valid), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
