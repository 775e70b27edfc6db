"""What goes into the container, as far as it can be checked without a container engine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types

from orders_api.settings import Settings
from tests.conftest import ROOT
from tests.live import local_server

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
REQUIREMENTS = (ROOT / "requirements.txt").read_text("utf-8")


# --- The Dockerfile ------------------------------------------------------------------------


def copied() -> list[str]:
    """Return what the Dockerfile copies from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source.rstrip("/") for line in lines for source in line.split()[:-1]]


def test_image_is_made_of_files_that_exist_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert "*" in ignored
    assert sorted(copied()) == sorted(line[1:] for line in ignored if line.startswith("!"))


def test_image_installs_only_hashed_requirements_and_runs_without_privileges() -> None:
    assert "--require-hashes -r requirements.txt" in DOCKERFILE
    final = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^USER (.+)$", final, re.MULTILINE) == ["app"]
    assert json.loads(re.findall(r"^CMD (.+)$", final, re.MULTILINE)[0]) == [
        *("orders-api", "serve", "--host", "0.0.0.0")
    ]


@pytest.mark.parametrize("prefix", ["", pytest.param("/v1/", marks=pytest.mark.slow)])
def test_health_check_passes_only_while_the_server_lives(tmp_path: Path, prefix: str) -> None:
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (.+)$", DOCKERFILE, re.MULTILINE)
    with local_server(tmp_path, API_PREFIX=prefix.rstrip("/")) as address:
        check = check.replace("http://127.0.0.1:8000", address)
        command = [sys.executable, *json.loads(check)[1:]]
        environment = os.environ | {"API_PREFIX": prefix}
        assert subprocess.run(command, env=environment).returncode == 0
    assert subprocess.run(command, env=environment, stderr=subprocess.DEVNULL).returncode == 1


# --- Requirements --------------------------------------------------------------------------


def test_every_requirement_has_one_version_and_its_hashes() -> None:
    requirements = re.sub(r"^ +#.*\n?", "", REQUIREMENTS, flags=re.MULTILINE).replace("\\\n", "")
    for line in requirements.splitlines():
        assert re.fullmatch(r"[\w-]+==[\w.]+( ;[^-]+?)?( +--hash=sha256:[0-9a-f]{64})+ *", line)


def test_requirements_name_no_address_and_no_file() -> None:
    assert re.findall(r"^-.*|://|/\w+", REQUIREMENTS, re.MULTILINE) == []


# --- Compose -------------------------------------------------------------------------------


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))


def test_services_start_one_after_the_other(compose: Any) -> None:
    services = compose["services"]
    assert set(services) == {"db", "migrate", "api"}
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert services["migrate"]["command"] == ["orders-api", "migrate"]
    completed = {"condition": "service_completed_successfully"}
    assert services["api"]["depends_on"] == {"migrate": completed}
    assert "pg_isready" in services["db"]["healthcheck"]["test"]


def test_database_keeps_its_data_in_a_volume_and_sorts_by_code_point(compose: Any) -> None:
    db = compose["services"]["db"]
    assert db["image"] == "postgres:18"
    assert db["volumes"] == ["db:/var/lib/postgresql"]  # since 18 the parent of the data folder
    assert "db" in compose["volumes"]
    assert "--locale-provider=builtin" in db["environment"]["POSTGRES_INITDB_ARGS"]
    assert "--builtin-locale=C.UTF-8" in db["environment"]["POSTGRES_INITDB_ARGS"]


@pytest.mark.parametrize("service", ["migrate", "api"])
def test_services_set_only_settings_that_exist(compose: Any, service: str) -> None:
    environment = compose["services"][service]["environment"]
    assert set(environment) <= {name.upper() for name in Settings.model_fields}


def test_services_use_the_database_that_is_started(compose: Any) -> None:
    db = compose["services"]["db"]["environment"]
    url = "postgresql://{POSTGRES_USER}:{POSTGRES_PASSWORD}@db/{POSTGRES_DB}".format(**db)
    for service in ("migrate", "api"):
        assert compose["services"][service]["environment"]["DATABASE_URL"] == url


def test_nobody_is_trusted_without_a_token(compose: Any) -> None:
    assert compose["services"]["api"]["environment"]["TRUST_LOCAL"] == "false"


def test_watched_paths_exist_and_go_where_the_image_has_them(compose: Any) -> None:
    watched = compose["services"]["api"]["develop"]["watch"]
    synced = {w["path"]: w["target"] for w in watched if w["action"] != "rebuild"}
    assert synced == {path: f"/app/{path}" for path in ("orders_api/", "migrations/")}
    assert {w["path"].rstrip("/") for w in watched} <= set(copied())


# --- Hooks ---------------------------------------------------------------------------------


def test_hooks_before_a_commit_check_what_is_checked_afterwards() -> None:
    afterwards = (ROOT / ".ci" / "run").read_text("utf-8")
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    commands = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert len(commands) == 4
    assert [c for c in commands if c.removesuffix(" --fix") not in afterwards] == []
