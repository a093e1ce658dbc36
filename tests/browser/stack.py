"""The whole program for one test session, with ThinkInCoin 1.0 beside it in staging and production.

The plan of the example names fixed ports and a watch of a minute. Tests publish a version of their own, with free ports
and a short watch, so nothing else on the machine can be in their way.
"""

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from checks.examples import example_plan, variable_of
from config.demo.examples import EXAMPLES, Example
from config.services.home import BASE_DIR
from config.services.ports import free_port
from tests.platform.runner import Runner

READY_SECONDS = 240.0
WATCH_SECONDS = 15
#: Set for the tests' own process; the program must send mail and write logs as it does for people.
NOT_OF_TESTS = ("EMAIL_URL", "LOG_LEVEL", "LOG_FORMAT")


@dataclass(frozen=True)
class OwnPorts(Example):
    """An example whose environments answer at ports of our choice."""

    staging: int = 0
    production: int = 0

    def _ports(self) -> dict[str, int]:
        return {"staging": self.staging, "production": self.production}


class Stack:
    """``start`` brings everything up, ``stop`` ends it. ``facts``: variables of both environments, secrets too."""

    def __init__(self, folder: Path) -> None:
        self.runner = Runner(folder, LOGIN_RATE_LIMITS="false", WORKER_CONCURRENCY="2")
        for name in NOT_OF_TESTS:
            self.runner.variables.pop(name, None)
        known = EXAMPLES["thinkincoin"]
        self.example = OwnPorts(
            known.name,
            known.old_version,
            known.new_version,
            known.page,
            known.tables,
            known.walks,
            known.domain,
            known.changes,
            staging=free_port(),
            production=free_port(),
        )
        self.facts: dict[str, dict[str, str]] = {}

    def start(self) -> "Stack":
        self.runner.start()
        end = time.monotonic() + READY_SECONDS
        while self.runner.facts().get("state") != "ready":
            process = self.runner.process
            assert process is not None
            assert process.poll() is None, f"the program ended before it was ready: {self.runner.output()}"
            assert time.monotonic() < end, f"the program was not ready after {READY_SECONDS:.0f} s"
            time.sleep(0.2)
        self.facts = self.example.prepare(self.runner.home)
        return self

    def stop(self) -> None:
        self.runner.stop()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.runner.port}"

    def passwords(self) -> dict[str, str]:
        """E-mail address -> password."""
        found: dict[str, str] = json.loads(self.runner.home.passwords.read_text(encoding="utf-8"))
        return found

    def plan(self) -> str:
        """The example's plan with our ports, a short watch and quick probes."""
        ports = {"staging": self.example.staging, "production": self.example.production}
        variables = {variable_of(self.example.name, place): str(port) for place, port in ports.items()}
        text = example_plan(self.example.folder, variables)
        changes = {
            r"duration: 1m": f"duration: {WATCH_SECONDS}s",
            r"min_answers: 10": "min_answers: 3",
            r"interval: \d+s": "interval: 1s",
        }
        for pattern, new in changes.items():
            text, found = re.subn(pattern, new, text)
            assert found, f"the plan of the example has no {pattern} any more"
        return text

    def secret(self, name: str) -> str:
        """The value for a secret of the plan, such as staging-database-url."""
        environment, _, variable = name.partition("-")
        return self.facts[environment][variable.replace("-", "_").upper()]

    def learners(self, environment: str) -> int:
        with psycopg.connect(self.facts[environment]["DATABASE_URL"]) as connection:
            row = connection.execute("SELECT count(*) FROM accounts_user").fetchone()
        assert row is not None
        return int(row[0])

    def running_version(self, environment: str) -> str:
        return self.example.running_version(self.facts[environment])

    def add_stranger(self) -> tuple[str, str]:
        """A person with a log-in and without any role: e-mail address and password."""
        email, password = "stranger@gonogo.example", "no-role-anywhere-7"
        deed = f"from releases.models import User; User.objects.create_user('{email}', '{password}', name='Stranger')"
        made = subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", deed],
            cwd=BASE_DIR,
            env={**self.runner.variables, **self.runner.home.read(self.runner.home.addresses)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        return email, password
