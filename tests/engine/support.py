"""Helpers for tests that run kinds for real.

    application = application_with({"unit": check("suite", params={...})}, folder=tmp_path)
    run = run_section(application, "checks.unit")          # starts, executes in this process, returns the ended run
    assert run.state == "passed", log_text(run)

Tests that use them need ``@pytest.mark.django_db(transaction=True)``: the engine's threads have connections of their
own and see only what is committed.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from checks import engine, services
from checks.models import LogChunk, Run, StoredBackup
from releases.models import Application, Environment, Release, User
from tests.engine import kinds as kinds
from tests.factories import check, make_application

__all__ = ["application_with", "check", "log_lines", "log_text", "run_section", "start", "stored"]


def application_with(
    checks: Mapping[str, Any], *, folder: Path | None = None, plan: Mapping[str, Any] | None = None
) -> Application:
    """An application whose plan has these checks; ``folder`` is its plan folder."""
    application = make_application(plan={**(plan or {}), "checks": dict(checks)})
    if folder is not None:
        application.plan_folder = str(folder)
        application.save(update_fields=["plan_folder"])
    return application


def start(
    application: Application,
    section: str,
    *,
    params: Mapping[str, Any] | None = None,
    release: Release | None = None,
    environment: Environment | None = None,
    actor: User | None = None,
) -> Run:
    """Queue a run, without executing it."""
    return services.start_run(
        application=application, section=section, params=params, release=release, environment=environment, actor=actor
    )


def run_section(
    application: Application,
    section: str,
    *,
    params: Mapping[str, Any] | None = None,
    release: Release | None = None,
    environment: Environment | None = None,
    actor: User | None = None,
) -> Run:
    """Start a run of a plan's check, execute it in this process, and return it as it ended."""
    run = start(application, section, params=params, release=release, environment=environment, actor=actor)
    engine.execute(run.pk)
    return engine.load(run.pk)


def log_lines(run: Run, attempt: int | None = None, kinds: str = "ocne") -> list[str]:
    """The committed lines of an attempt (the newest), after checking that none is missing, doubled or out of order."""
    lines: list[str] = []
    number = attempt or run.attempt
    expected = 1
    for chunk in LogChunk.objects.filter(run=run, attempt=number).order_by("first_line"):
        texts = chunk.body.split("\n")
        assert chunk.first_line == expected, f"line {expected} is missing or doubled"
        assert len(texts) == chunk.lines == len(chunk.stamps) == len(chunk.kinds)
        expected += chunk.lines
        lines += [text for text, kind in zip(texts, chunk.kinds, strict=True) if kind in kinds]
    return lines


def log_text(run: Run, attempt: int | None = None) -> str:
    return "\n".join(log_lines(run, attempt))


def stored(application: Application, age: timedelta, **more: Any) -> StoredBackup:
    """A row of the list of backups of production, with nothing in storage behind it."""
    moment = timezone.now() - age
    values = {
        "manifest_key": f"backups/{moment.isoformat()}", "snapshot_at": moment, "finished_at": moment, "seconds": 1.0,
        "stored_bytes": 10, "plain_bytes": 20, "database_bytes": 30, "tables": 1, "rows": 1, "key_id": "k1",
        "server": "18.6", "verified_at": moment, **more,
    }  # fmt: skip
    place = application.environments.get(name="production")
    return StoredBackup.objects.create(application=application, environment=place, **values)
