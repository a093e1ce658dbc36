"""The API of runs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.forms import FileField
from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from checks import page_queries, presenting, services
from checks.forms import LaunchForm
from checks.kinds.base import get_kind
from checks.log_views import visible_run
from checks.models import Run
from checks.plan import from_document, json_schema
from releases.errors import DomainError
from releases.models import Release
from releases.people import person
from releases.permissions import get_release_or_404, visible_applications

router = Router(tags=["Runs"])
MOST = 200


class StepOut(Schema):
    key: str
    title: str
    category: str
    state: str
    fraction: float | None
    doing: str
    started_at: datetime | None
    ended_at: datetime | None


class RunListed(Schema):
    """One run in a list. ``state``: queued, running, passed, failed, errored, cancelled, lost or unknown."""

    id: UUID
    number: int
    title: str
    application: str
    release: UUID | None
    environment: str
    kind: str
    section: str
    state: str
    attempt: int
    summary: str
    error: str
    remedy: str
    build_digest: str
    log_lines: int
    log_sealed: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class RunOut(RunListed):
    """One run with its steps and everything that it found."""

    progress: dict[str, Any]
    result: dict[str, Any]
    waits_for: int | None = Field(None, description="The number of the run that has to end first.")
    steps: list[StepOut]


class StartIn(Schema):
    """``section``: a check of the plan ("checks.backup"). ``params`` replaces single values of the plan's, as the page
    for starting a run does: never commands or lists. A run with other values is no answer to the checklist."""

    section: str = Field(max_length=120)
    params: dict[str, Any] = {}


def _listed(run: Run) -> dict[str, Any]:
    names = (
        "id", "number", "kind", "section", "state", "attempt", "summary", "error", "remedy", "build_digest",
        "log_lines", "log_sealed", "created_at", "started_at", "ended_at",
    )  # fmt: skip
    return {
        "title": presenting.title(run),
        "application": run.application.slug,
        "release": run.release_id,
        "environment": run.environment.name,
        **{name: getattr(run, name) for name in names},
    }


def run_out(run: Run) -> RunOut:
    holder = page_queries.holder_of(run)
    return RunOut(
        **_listed(run),
        progress=run.progress,
        result=run.result,
        waits_for=holder.number if holder else None,
        steps=[StepOut.from_orm(step) for step in run.steps.filter(attempt=run.attempt)],
    )


@router.get("/runs", response=list[RunListed], operation_id="list_runs")
def list_runs(request: HttpRequest, state: str = "", kind: str = "", q: str = "") -> list[RunListed]:
    """The newest 200 runs that match; ``state`` also takes active, decide, passed, not_passed."""
    filters = page_queries.RunFilters(text=q[:200], kind=kind[:60], state=state[:20])
    runs = page_queries.run_list(visible_applications(request.user), filters)
    return [RunListed(**_listed(run)) for run in runs[:MOST]]


@router.get("/runs/{int:number}", response=RunOut, operation_id="get_run")
def get_run(request: HttpRequest, number: int) -> RunOut:
    """One run with its steps."""
    return run_out(visible_run(request.user, number))


@router.post("/releases/{uuid:release_id}/runs", response={201: RunOut}, operation_id="start_run")
def start_run(request: HttpRequest, release_id: UUID, body: StartIn) -> tuple[int, RunOut]:
    """Start a check of the plan for a release."""
    release = get_release_or_404(request.user, release_id)
    _refuse_fixed(release, body)
    run = services.start_run(
        application=release.application,
        release=release,
        section=body.section,
        actor=person(request),
        params=body.params,
    )
    return 201, run_out(run)


def _refuse_fixed(release: Release, body: StartIn) -> None:
    """What the page for starting a run does not offer cannot be sent either."""
    check = from_document(release.plan_version.document).checks.get(body.section.removeprefix("checks."))
    if check is None or not body.params:
        return
    fields = LaunchForm(get_kind(check.kind), check.params).fields
    for name in body.params:
        if name not in fields or isinstance(fields[name], FileField):
            raise DomainError(f"The parameter {name} is one that only the plan sets. Nothing was started.", field=name)


@router.post("/runs/{int:number}/cancel", response=RunOut, operation_id="cancel_run")
def cancel_run(request: HttpRequest, number: int) -> RunOut:
    """Ask a run to stop; it ends in a moment."""
    run = visible_run(request.user, number)
    services.cancel_run(run=run, actor=person(request))
    run.refresh_from_db()
    return run_out(run)


@router.get("/plan-schema", response=dict[str, Any], operation_id="plan_schema", auth=None)
def plan_schema(request: HttpRequest) -> dict[str, Any]:
    """The JSON Schema of a plan, for editors and CI."""
    return json_schema()
