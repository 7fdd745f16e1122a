"""docker-compose.yml is valid, names only files and services that exist, and sets only variables that programs read."""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from tasks.io.spark import SESSION_CONF
from tasks.settings import ROOT, Settings

Document = dict[str, Any]
COMPOSE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
SECRET = re.compile(r"PASSWORD|SECRET|_KEY$|TOKEN|SQL_ALCHEMY_CONN|DATABASE_URL|STORE_URI")


def load(text: str | None = None) -> Document:
    """The file as Compose parses it, with all variables, defaults and merges resolved."""

    def fill(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        return rest if kind == "-" else f"given-{name.lower()}"

    document: Document = yaml.safe_load(VARIABLE.sub(fill, text if text is not None else COMPOSE.read_text()))
    return document


# the checks: each returns its faults as messages


def schema_faults(document: Document) -> list[str]:
    schema = get_builtin_schema("vendor.compose-spec")
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(document)]


def reference_faults(document: Document) -> list[str]:
    faults, used = [], set()
    services = document["services"]
    for name, service in services.items():
        if "build" in service:
            path = Path(service["build"]["context"]) / service["build"]["dockerfile"]
            if not (ROOT / path).is_file():
                faults.append(f"{name}: build names {path}, which does not exist")
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("."):
                if not (ROOT / source).exists():
                    faults.append(f"{name}: mounts {source}, which does not exist")
            elif not source.startswith("given-"):
                used.add(source)
                if source not in document["volumes"]:
                    faults.append(f"{name}: volume {source} is not declared")
        for other, terms in service.get("depends_on", {}).items():
            if other not in services:
                faults.append(f"{name}: depends on {other}, which is no service")
            elif terms["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                faults.append(f"{name}: waits for {other} to be healthy, which has no healthcheck")
    return faults + [f"volume {volume} is used by no service" for volume in sorted(set(document["volumes"]) - used)]


def operation_faults(document: Document) -> list[str]:
    faults = []
    for name, service in document["services"].items():
        tag = service["image"].rpartition(":")[2]
        if "build" not in service and not re.search(r"\d+\.\d+", tag):
            faults.append(f"{name}: image {service['image']} is not pinned to a version")
        if service.get("restart") not in {"unless-stopped", "on-failure"}:
            faults.append(f"{name}: has no restart policy")
        if service.get("restart") == "unless-stopped" and "healthcheck" not in service:
            faults.append(f"{name}: has no healthcheck")
        if "build" in service and service.get("cap_drop") != ["ALL"]:
            faults.append(f"{name}: keeps capabilities that it does not need")
    return faults


def setting_faults(document: Document) -> list[str]:
    faults = []
    for name, service in document["services"].items():
        for variable in service.get("environment", {}):
            if variable.startswith("TITLEHOLDER_") and not variable.endswith("_DB_PASSWORD"):
                known = variable.removeprefix("TITLEHOLDER_").lower() in Settings.model_fields
            elif variable.startswith("AIRFLOW__"):
                section, key = variable.removeprefix("AIRFLOW__").lower().split("__")
                known = key in airflow_options().get(section, {}).get("options", {})
            elif variable.startswith("MLFLOW_") and not variable.endswith("_DB_PASSWORD"):
                known = variable in mlflow_variables()
            else:
                continue
            if not known:
                faults.append(f"{name}: no program reads {variable}")
    return faults


def secret_faults(text: str) -> list[str]:
    """Secrets that do not come from the environment, or have a default. Reads the text before variables are resolved."""
    faults = []
    for name, service in yaml.safe_load(text)["services"].items():
        for variable, value in service.get("environment", {}).items():
            required = any(kind == "?" for _, kind, _ in VARIABLE.findall(str(value)))
            if SECRET.search(variable) and not variable.endswith("_FILE") and not required:
                faults.append(f"{name}: {variable} is not taken from the environment with ${{...:?...}}")
    return faults


@cache
def airflow_options() -> dict[str, Any]:
    """Airflow's own description of its settings."""
    import airflow.config_templates

    text = (Path(airflow.config_templates.__path__[0]) / "config.yml").read_text()
    options: dict[str, Any] = yaml.safe_load(text)
    return options


@cache
def mlflow_variables() -> set[str]:
    """The variables that MLflow reads: those that it declares, and those of the server's options."""
    import mlflow.environment_variables as declared
    from mlflow.cli import server

    options = {str(option.envvar) for option in server.params if getattr(option, "envvar", None)}
    return {name for name in vars(declared) if name.startswith("MLFLOW_")} | options


def all_faults(document: Document) -> list[str]:
    return [f for check in (schema_faults, reference_faults, operation_faults, setting_faults) for f in check(document)]


# the file is valid, and each check refuses an invalid one


def test_the_file_has_no_fault() -> None:
    assert all_faults(load()) == []
    assert secret_faults(COMPOSE.read_text()) == []


BROKEN: dict[str, tuple[Callable[[Document], object], str]] = {
    "an unknown key": (lambda d: d["services"]["mlflow"].update(restarts="always"), "restarts"),
    "a wrong type": (lambda d: d["services"]["mlflow"].update(command=5), "command"),
    "a condition that does not exist": (
        lambda d: d["services"]["mlflow"].update(depends_on={"postgres": {"condition": "service_ready"}}),
        "service_ready",
    ),
    "a service that does not exist": (
        lambda d: d["services"]["serving"].update(depends_on={"postgresql": {"condition": "service_started"}}),
        "depends on postgresql",
    ),
    "waiting for what has no healthcheck": (lambda d: d["services"]["postgres"].pop("healthcheck"), "no healthcheck"),
    "a volume that is not declared": (lambda d: d["volumes"].pop("state"), "volume state is not declared"),
    "a Dockerfile that does not exist": (
        lambda d: d["services"]["serving"]["build"].update(dockerfile="serving/Containerfile"),
        "serving/Containerfile",
    ),
    "a mounted file that does not exist": (
        lambda d: d["services"]["prometheus"].update(volumes=["./docker/prom.yml:/x:ro", "prometheus:/prometheus"]),
        "docker/prom.yml",
    ),
    "an image without a version": (lambda d: d["services"]["postgres"].update(image="postgres:latest"), "not pinned"),
    "no restart policy": (lambda d: d["services"]["spark"].pop("restart"), "restart policy"),
    "a setting that Titleholder does not read": (
        lambda d: d["services"]["serving"]["environment"].update(TITLEHOLDER_ENDPOINT_POLL="1"),
        "no program reads TITLEHOLDER_ENDPOINT_POLL",
    ),
    "a setting that Airflow does not read": (
        lambda d: d["services"]["airflow-scheduler"]["environment"].update(AIRFLOW__CORE__SQL_ALCHEMY_CONN="x"),
        "no program reads AIRFLOW__CORE__SQL_ALCHEMY_CONN",
    ),
    "a setting that MLflow does not read": (
        lambda d: d["services"]["mlflow"]["environment"].update(MLFLOW_SERVER_ALLOWED_HOST="x"),
        "no program reads MLFLOW_SERVER_ALLOWED_HOST",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_twin_is_refused(name: str) -> None:
    spoil, expected = BROKEN[name]
    document = copy.deepcopy(load())
    spoil(document)
    assert any(expected in fault for fault in all_faults(document)), all_faults(document)


@pytest.mark.parametrize("value", ["hunter2", "${MLFLOW_PASSWORD:-hunter2}", "${MLFLOW_PASSWORD}"])
def test_a_secret_in_the_file_is_refused(value: str) -> None:
    text = COMPOSE.read_text().replace("${MLFLOW_PASSWORD:?see docker/example.env}", value)
    assert any("MLFLOW_AUTH_ADMIN_PASSWORD" in fault for fault in secret_faults(text))


# files that belong to docker-compose.yml


def test_the_example_names_every_variable_that_is_needed() -> None:
    needed = {name for name, kind, _ in VARIABLE.findall(COMPOSE.read_text()) if kind == "?"}
    lines = (ROOT / "docker" / "example.env").read_text().splitlines()
    assert {line.split("=")[0] for line in lines if re.match(r"\w+=", line)} == needed
    assert not [line for line in lines if re.match(r"\w+=.", line)], "an example holds no values"


def test_servers_listen_at_the_addresses_of_their_clients() -> None:
    services = load()["services"]
    urls = services["airflow-scheduler"]["environment"]
    for variable, service in {
        "TITLEHOLDER_MLFLOW_TRACKING_URI": "mlflow",
        "TITLEHOLDER_AIRFLOW_URL": "airflow-api-server",
        "TITLEHOLDER_ENDPOINT_URL": "serving",
        "TITLEHOLDER_SPARK_REMOTE": "spark",
    }.items():
        host, port = urls[variable].partition("://")[2].split(":")
        assert host == service
        assert port in " ".join(services[service]["healthcheck"]["test"])
    hosts = next(part for part in services["mlflow"]["command"] if part.startswith("--allowed-hosts"))
    assert "mlflow:5000" in hosts, "without it the server refuses the other services"


def test_the_endpoint_has_the_routes_of_its_healthcheck() -> None:
    from serving.app import create_app

    routes = set(create_app().openapi()["paths"])
    [probed] = re.findall(r"127\.0\.0\.1:8000(/[^']*)'", " ".join(load()["services"]["serving"]["healthcheck"]["test"]))
    jobs = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {job["metrics_path"] for job in jobs if job["job_name"] == "endpoint"}
    assert {probed, *scraped} <= routes


def test_prometheus_scrapes_services_that_exist() -> None:
    config = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())
    targets = [t for job in config["scrape_configs"] for block in job["static_configs"] for t in block["targets"]]
    services = {"localhost", *load()["services"]}
    assert targets
    assert {target.split(":")[0] for target in targets} <= services


def test_the_spark_server_has_the_sessions_settings() -> None:
    script = (ROOT / "docker" / "spark-connect.sh").read_text()
    assert dict(re.findall(r"--conf (spark\.sql\.\S+)=(\S+)", script)) == SESSION_CONF


@pytest.mark.servers
@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "docker").glob("*.sh")))
def test_scripts_are_valid_and_executable(script: str) -> None:
    path = ROOT / "docker" / script
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "mlflow/Dockerfile", "serving/Dockerfile"])
def test_images_are_pinned_hashed_and_not_root(dockerfile: str) -> None:
    text = (ROOT / dockerfile).read_text()
    for base in re.findall(r"^FROM (\S+)", text, flags=re.M):
        assert re.search(r":\d+\.\d+\.\d+", base), f"{base} is not pinned"
    assert re.findall(r"^USER (\S+)", text, flags=re.M)[-1:] == ["titleholder"]
    assert all("--require-hashes" in line for line in text.splitlines() if "pip install" in line)
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.+)", text, flags=re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), f"{dockerfile} copies {source}, which does not exist"
            assert any(fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in allowed), source
