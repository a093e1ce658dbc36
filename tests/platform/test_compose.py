"""docker-compose.yml: every command and every variable in it exists in the program."""

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from config.services.home import BASE_DIR
from config.services.keys import new_keys
from config.services.parts import (
    PROBER_ARGUMENTS,
    RELAY_ARGUMENTS,
    SCHEDULER_ARGUMENTS,
    web_arguments,
    worker_arguments,
)

PROGRAM = {"preparation", "web", "worker", "scheduler", "relay", "prober"}
SERVERS = {"postgres", "redis", "storage"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())["services"]
    return found


def read_variables() -> set[str]:
    """Return the name of every variable that config/ reads, found in its source."""
    names = set()
    for file in (BASE_DIR / "config").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            called = ast.unparse(node.func)
            if called.startswith(("env.", "os.environ.")) or called in {"_kept", "_local_address"}:
                names.add(str(node.args[0].value))
    return names


def test_it_runs_every_part_as_a_service_of_its_own(services: dict[str, Any]) -> None:
    assert set(services) == PROGRAM | SERVERS


def test_every_variable_is_one_the_program_reads(services: dict[str, Any]) -> None:
    known = read_variables()
    assert {"SECRET_KEY", "DATABASE_URL", "GONOGO_PORT"} <= known
    for name in PROGRAM:
        assert set(services[name]["environment"]) <= known, name


def test_every_secret_it_asks_for_is_made_by_make_keys() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", (BASE_DIR / "docker-compose.yml").read_text()))
    assert asked == set(new_keys())


def test_every_module_and_management_command_exists(services: dict[str, Any]) -> None:
    for name in PROGRAM:
        words = services[name]["command"]
        match words[:3]:
            case ["python", "-m", module]:
                assert find_spec(module), name
            case ["python", "manage.py", command]:
                assert command in get_commands(), name
            case [program, *_]:
                assert program in {"gunicorn", "celery"}
                assert find_spec(program), name


def test_it_runs_the_same_commands_as_the_local_runner(services: dict[str, Any]) -> None:
    assert services["relay"]["command"][1:] == RELAY_ARGUMENTS
    assert services["prober"]["command"][1:] == PROBER_ARGUMENTS
    assert services["scheduler"]["command"] == SCHEDULER_ARGUMENTS[1:]
    assert set(worker_arguments()[1:]) == set(services["worker"]["command"])
    options = {word.partition("=")[0] for word in services["web"]["command"]}
    assert {word for word in web_arguments("0.0.0.0", 8000) if word.startswith("--")} <= options  # noqa: S104


def test_what_a_deploy_left_running_is_reaped_when_it_ends(services: dict[str, Any]) -> None:
    """Its parent is gone by then, so it falls to process 1 of the container, which must be one that reaps."""
    assert all(services[name]["init"] for name in PROGRAM)


def test_postgresql_counts_as_healthy_only_when_others_can_reach_it(services: dict[str, Any]) -> None:
    """While its image makes a data folder, a server answers on the socket alone and then stops."""
    asked = services["postgres"]["healthcheck"]["test"]
    assert asked[asked.index("--host") + 1] == "127.0.0.1"


@pytest.mark.campaign
def test_the_settings_load_with_the_variables_of_the_file(services: dict[str, Any], tmp_path: Path) -> None:
    """Load the real settings with them, every ${NAME} filled in as compose would."""
    keys = new_keys()

    def filled(text: str) -> str:
        return re.sub(r"\$\{(\w+)(?::([?-])([^}]*))?\}", lambda m: keys.get(m[1], m[3] if m[2] == "-" else ""), text)

    variables = {name: filled(str(value)) for name, value in services["web"]["environment"].items()}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import django; django.setup(); from django.conf import settings as s; print(s.STORAGES)",
        ],
        cwd=BASE_DIR,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "GONOGO_HOME": str(tmp_path),
            "GONOGO_MAKE_KEYS": "false",
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "http://storage:7070" in done.stdout
    assert not (tmp_path / "keys").exists()


def test_the_image_makes_no_keys_and_installs_from_the_lock() -> None:
    text = (BASE_DIR / "Dockerfile").read_text()
    assert "GONOGO_MAKE_KEYS=false" in text
    assert "--require-hashes" in text
    assert "USER gonogo" in text
