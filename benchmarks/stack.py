"""The whole program in a folder of its own, for measuring it from outside."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from config.services.ports import free_port

#: Addresses at which nobody answers, of staging and of production.
NOBODY, NOBODY_EITHER = "http://127.0.0.1:9", "http://127.0.0.1:8"
PLAN = """\
application: bench
title: Bench
environments:
  staging: {tier: staging, url: "TARGET"}
  production: {tier: production, url: "RIVAL"}
checks:
  lines:
    kind: suite
    title: Prints lines
    environment: staging
    params: {command: {script: 'exec "$PYTHON" -u "$PRINTER" "$RATE" "$SECONDS_LONG" "$GONOGO_WORK"', timeout: 10m}}
  load:
    kind: load
    title: Load
    environment: staging
    params: {steps: [5, 10], hold: 12s, settle: 2s, think: 50ms, limits: [errors < 1%]}
  turns:
    # The locustfile lies in the program's folder, and ends it when it has seen enough; the run itself says nothing.
    kind: load
    title: Recorded and not, in turns
    environment: staging
    params: {steps: [20], hold: 10m, settle: 2s, locustfile: turns.py, processes: 1, stop: [], limits: [errors < 50%]}
  knee:
    kind: load
    title: Knee
    environment: staging
    params:
      {steps: [2, 4, 6, 8, 10, 12, 14, 16], hold: 6s, settle: 2s, think: 40ms, samples: 50, limits: [errors < 5%],
       requests: [{path: /pool}]}
  same:
    kind: load
    title: As fast as the last
    environment: staging
    params:
      {steps: [4], hold: 5s, settle: 1s, think: 20ms, samples: 20, limits: [errors < 5%], requests: [{path: /steady}],
       compare: {load: 8, runs: 5, each: 5s, settle: 1s, environment: production}}
  slower:
    kind: load
    title: Slower than the last
    environment: staging
    params:
      {steps: [4], hold: 5s, settle: 1s, think: 20ms, samples: 20, limits: [errors < 5%], requests: [{path: /changed}],
       compare: {load: 8, runs: 5, each: 5s, settle: 1s, environment: production}}
load:
  consent:
    staging: {by: The benchmark, on: 2026-01-01, at_most: 100}
    production: {by: The benchmark, on: 2026-01-01, at_most: 100, production: true}
deploy:
  steps: [{key: go, title: Go, category: back_end, command: {argv: ["true"]}}]
  smoke: [{path: /}]
rollback:
  steps: [{key: back, title: Back, category: back_end, command: {argv: ["true"]}}]
  smoke: [{path: /}]
"""
# Prints "t=<seconds since 1970>" at a steady rate, then leaves a report of one test.
PRINTER = """\
import pathlib, sys, time
rate, seconds, work = float(sys.argv[1]), float(sys.argv[2]), pathlib.Path(sys.argv[3])
start = time.time()
for number in range(int(rate * seconds)):
    time.sleep(max(0.0, start + number / rate - time.time()))
    print(f"line {number} t={time.time():.6f}", flush=True)
(work / "reports").mkdir(exist_ok=True)
(work / "reports" / "junit.xml").write_text('<testsuite name="b"><testcase classname="b" name="b"/></testsuite>')
"""


@dataclass(frozen=True)
class Stack:
    """A running program with one release. ``cookies``: the engineer's session."""

    address: str
    home: Path
    release: UUID
    password: str

    @property
    def start_path(self) -> str:
        return self.path_of("lines")

    def path_of(self, check: str) -> str:
        return f"/runs/release/{self.release}/start/checks.{check}"


@contextmanager
def stack(
    rate: float, seconds: float, target: str = NOBODY, rival: str = NOBODY_EITHER, *, web: int = 2
) -> Iterator[Stack]:
    """Start everything with ``make up``'s own runner; stop it afterwards. The plan's run prints at that rate.

    ``target``: the address of staging, which runs the release's build by a person's word; ``rival``: of production.
    ``web``: how many processes answer pages.
    """
    with tempfile.TemporaryDirectory(prefix="gonogo-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        port = free_port()
        environment = {**os.environ, "GONOGO_HOME": str(home), "GONOGO_PORT": str(port), "LOGIN_RATE_LIMITS": "false",
                       "WEB_CONCURRENCY": str(web)}  # fmt: skip
        runner = [sys.executable, "-m", "config.services"]
        subprocess.run([*runner, "up", "--detach"], env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            (home / "printer.py").write_text(PRINTER)
            made = subprocess.run(
                [sys.executable, "-m", "benchmarks.stack", str(rate), str(seconds), target, rival],
                env=environment, check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            password = json.loads((home / "passwords.json").read_text())["engineer@gonogo.example"]
            yield Stack(f"http://127.0.0.1:{port}", home, UUID(made.stdout.split()[-1]), password)
        finally:
            subprocess.run([*runner, "down"], env=environment, check=False, stdout=subprocess.DEVNULL)


def make_release(rate: str, seconds: str, target: str, rival: str) -> UUID:
    """Inside the program's own settings: an application with the plan above, the engineer in it, and a release."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    import io

    from django.conf import settings

    from checks.publishing import publish
    from releases.domain import application as applications
    from releases.domain import environment as environments
    from releases.domain import release as releases
    from releases.enums import Role
    from releases.models import User

    application = applications.create_application(slug="bench", name="Bench", actor=None)
    person = User.objects.get(email="engineer@gonogo.example")
    for role in (Role.ENGINEER, Role.RELEASE_MANAGER):
        applications.add_member(application=application, user=person, role=role, actor=None)
    variables = {
        "PYTHON": sys.executable,
        "PRINTER": str(settings.GONOGO_HOME / "printer.py"),
        "RATE": rate,
        "SECONDS_LONG": seconds,
    }
    text = PLAN.replace('tier: staging, url: "', f'tier: staging, variables: {json.dumps(variables)}, url: "')
    text = text.replace("TARGET", target).replace("RIVAL", rival)
    publish(application=application, text=text, author=None)
    application.plan_folder = str(settings.GONOGO_HOME)
    application.save(update_fields=["plan_folder"])
    places = {place.name: place for place in application.environments.all()}
    release = releases.create_release(
        application=application, version="1", build_name="build.txt", build_file=io.BytesIO(b"build"),
        source_environment=places["staging"], target_environment=places["production"], requester=person,
    )  # fmt: skip
    releases.start_rehearsal(release=release, actor=person)
    environments.adopt_build(
        environment=places["staging"], version="1", build_digest=release.build_digest, actor=None, reason="A benchmark."
    )
    # What answers at the rival's address is the release before, for whom it compares with.
    environments.adopt_build(
        environment=places["production"], version="0", build_digest="0" * 64, actor=None, reason="A benchmark."
    )
    return release.pk


if __name__ == "__main__":
    print(make_release(*sys.argv[1:5]))
