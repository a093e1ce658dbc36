"""Runs and reports for tests about findings.

run = audit_run(application)                       # queued, so that its findings may be recorded
recorded = scan(application, report("pip-audit", package("django", "CVE-2024-1")))
"""

from typing import Any

from django.db import connection
from django.utils import timezone

from checks import findings
from checks.ending import VERDICTS
from checks.enums import RunState
from checks.models import Run
from checks.tools.auditing.said import (
    Covered,
    Family,
    FilePlace,
    Found,
    PackagePlace,
    RoutePlace,
    Severity,
    SystemPlace,
    ToolReport,
    ToolStatus,
)
from releases.domain import evidence
from releases.enums import EvidenceSource
from releases.models import Application, Environment, Release

EVERYTHING = tuple(Covered(family) for family in Family)


def audit_run(
    application: Application,
    *,
    release: Release | None = None,
    environment: str = "staging",
    section: str = "checks.audit",
) -> Run:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('checks_run_number')")
        number = cursor.fetchone()[0]
    now = timezone.now()
    version = release.plan_version if release else application.current_plan
    return Run.objects.create(
        number=number, application=application, release=release, kind="audit", section=section,
        environment=Environment.objects.get(application=application, name=environment), plan_version=version,
        section_digest=version.sections.get(section, "0" * 64),
        build_digest=release.build_digest if release else "", state=RunState.QUEUED, created_at=now, queued_at=now,
    )  # fmt: skip


def end(run: Run, state: str = RunState.PASSED) -> Run:
    """As the engine would, without a worker: the ways of the state are the database's."""
    for step in (RunState.RUNNING, state):
        values: dict[str, Any] = {"state": step}
        if step == RunState.RUNNING:
            # Below zero: no worker's token is.
            values |= {"token": -1000 - run.number, "owner": run.pk, "lease_until": timezone.now(), "attempt": 1}
            values["started_at"] = timezone.now()
        else:
            values |= {"ended_at": timezone.now(), "owner": None, "lease_until": None}
        Run.objects.filter(pk=run.pk).update(**values)
    run.refresh_from_db()
    return run


def report(
    tool: str, *found: Found, covered: tuple[Covered, ...] = EVERYTHING, why: str = "", **more: Any
) -> ToolReport:
    status = ToolStatus.INCOMPLETE if why else ToolStatus.FINDINGS if found else ToolStatus.OK
    return ToolReport(tool, "1.0", status, 0.5, found, covered, looked_at=1, unit="places", why=why, **more)


def scan(
    application: Application, *reports: ToolReport, environment: str = "staging", release: Release | None = None,
    state: str = RunState.PASSED, limit: Severity = Severity.HIGH, section: str = "checks.audit",
) -> tuple[findings.Recorded, Run]:  # fmt: skip
    """Record what one run's tools said, and end the run."""
    run = audit_run(application, environment=environment, release=release, section=section)
    recorded = findings.record(run=run, reports=reports, limit=limit)
    ended = end(run, state)
    if release is not None and state in VERDICTS:
        evidence.record(
            release=release, source=EvidenceSource.RUN, kind=run.kind, section=run.section,
            section_digest=run.section_digest, environment=run.environment, build_digest=run.build_digest,
            verdict=VERDICTS[state], summary="Scanned.", run_id=run.pk, run_number=run.number,
        )  # fmt: skip
    return recorded, ended


def package(name: str, *ids: str, version: str = "1.0", **more: Any) -> Found:
    values = {"severity": Severity.HIGH, "title": f"{ids[0]} in {name}", "aliases": tuple(ids[1:]), **more}
    ecosystem = values.pop("ecosystem", "PyPI")
    return Found(Family.DEPENDENCIES, ids[0], place=PackagePlace(ecosystem, name, version), **values)


def route(path: str, *, parameter: str = "q", rule: str = "xss", family: Family = Family.WEB, **more: Any) -> Found:
    values = {"severity": Severity.HIGH, "title": f"{rule} at {path}", **more}
    return Found(family, rule, place=RoutePlace(values.pop("method", "GET"), path, parameter), **values)


def line(path: str, code: str, *, number: int = 1, rule: str = "B602", **more: Any) -> Found:
    values = {"severity": Severity.MEDIUM, "title": f"{rule} in {path}", **more}
    return Found(values.pop("family", Family.SOURCE), rule, place=FilePlace(path, code, number), **values)


def host(name: str, rule: str, *, family: Family = Family.TLS, **more: Any) -> Found:
    return Found(family, rule, place=SystemPlace(name), **{"severity": Severity.LOW, "title": rule, **more})
