"""An application whose deploy really changes something: a file that a real HTTP server serves."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connections
from django.utils import timezone

from checks import engine, services
from checks.models import Run, RunStep
from checks.reaper import reap
from releases.domain import environment as environments
from releases.models import Application, Environment, Release
from tests.factories import STATIONS, Team, make_application, make_approved, make_release, make_team
from tests.kinds_deploy.local_server import LocalServer, Reply

OLD = "0" * 64


def step(key: str, script: str, category: str = "back_end", **more: Any) -> dict[str, Any]:
    timeout = more.pop("timeout", "20s")
    return {
        "key": key,
        "title": key.capitalize(),
        "category": category,
        "command": {"script": script, "timeout": timeout},
        **more,
    }


#: Each step writes its name and version to a file of the environment, so that a test sees what was really done.
STEPS = [
    step("static", 'echo "static $GONOGO_VERSION" >> "$GONOGO_PLAN_DIR/$GONOGO_ENVIRONMENT"', "front_end"),
    step("migrate", 'echo "migrate $GONOGO_VERSION" >> "$GONOGO_PLAN_DIR/$GONOGO_ENVIRONMENT"', "database"),
    step("switch", 'echo "switch $GONOGO_VERSION" >> "$GONOGO_PLAN_DIR/$GONOGO_ENVIRONMENT"'),
]
BACK = [step("back", 'echo "back $GONOGO_PREVIOUS_VERSION" >> "$GONOGO_PLAN_DIR/$GONOGO_ENVIRONMENT"')]


@dataclass
class Shop:
    """The application, its people, one release, and what its steps wrote."""

    application: Application
    team: Team
    release: Release
    folder: Path
    server: LocalServer

    @property
    def staging(self) -> Environment:
        return Environment.objects.get(pk=self.release.source_environment_id)

    @property
    def production(self) -> Environment:
        return Environment.objects.get(pk=self.release.target_environment_id)

    def fresh(self) -> Release:
        return Release.objects.get(pk=self.release.pk)

    def written(self, environment: str = "production") -> list[str]:
        path = self.folder / environment
        return path.read_text().splitlines() if path.exists() else []

    def deploy(self, environment: Environment | None = None, **more: Any) -> Run:
        run = services.start_deploy(release=self.fresh(), actor=self.team.manager, environment=environment, **more)
        return executed(run)

    def roll_back(self, environment: Environment | None = None, **more: Any) -> Run:
        run = services.start_rollback(release=self.fresh(), actor=self.team.manager, environment=environment, **more)
        return executed(run)


def executed(run: Run) -> Run:
    engine.execute(run.pk)
    return engine.load(run.pk)


def make_shop(
    folder: Path,
    server: LocalServer,
    *,
    deploy: Mapping[str, Any] | None = None,
    rollback: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | None = None,
    approved: bool = True,
) -> Shop:
    """Both environments answer at ``server``; production is known to run 1.0, by a person's word."""
    server.replies.setdefault("/", Reply(body=b"welcome"))
    smoke = [{"path": "/", "text": "welcome"}]
    sections = {
        "environments": {
            "staging": {"tier": "staging", "url": server.url},
            "production": {"tier": "production", "url": server.url},
        },
        "deploy": {"steps": STEPS, "smoke": smoke, **(deploy or {})},
        "rollback": {"steps": BACK, "smoke": smoke, **(rollback or {})},
        **(plan or {}),
    }
    application = make_application(plan=sections)
    application.plan_folder = str(folder)
    application.save(update_fields=["plan_folder"])
    team = make_team(application, STATIONS)
    for place in Environment.objects.filter(application=application):
        environments.adopt_build(
            environment=place, version="1.0", build_digest=OLD, actor=None, reason="It was there before."
        )
    release = make_release(application=application, requester=team.engineer, version="2.0")
    if approved:
        make_approved(release, team)
    return Shop(application, team, release, folder, server)


def kill_after(shop: Shop, key: str) -> Run:
    """Start a deploy in a process that is killed once the step ``key`` is committed; then let the reaper find it."""
    run = services.start_deploy(release=shop.fresh(), actor=shop.team.manager)
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        _work_until(run, key)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert [reaped.pk for reaped in reap()] == [run.pk]
    return engine.load(run.pk)


def _work_until(run: Run, key: str) -> None:
    def watch() -> None:
        while not RunStep.objects.filter(run=run, key=key, state="passed").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    try:
        engine.execute(run.pk)
        time.sleep(5)
    finally:
        os._exit(0)


@contextmanager
def cancelling(run: Run, shop: Shop, sign: Path) -> Iterator[None]:
    """Cancel the run from another thread as soon as the file ``sign`` is there."""

    def cancel() -> None:
        while not sign.exists():
            time.sleep(0.02)
        services.cancel_run(run=run, actor=shop.team.manager)
        connections.close_all()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        yield
    finally:
        thread.join(20)
