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


class RunOut(Schema):
    """One run. ``state``: queued, running, passed, failed, errored, cancelled, lost or unknown."""

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
    progress: dict[str, Any]
    result: dict[str, Any]
    log_lines: int
    log_sealed: bool
    waits_for: int | None = Field(None, description="The number of the run that has to end first; of one run only.")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: list[StepOut] = []


class StartIn(Schema):
    """``section``: a check of the plan ("checks.backup"). ``params`` replaces single values of the plan's, as the page
    for starting a run does: never commands or lists. A run with other values is no answer to the checklist."""

    section: str = Field(max_length=120)
    params: dict[str, Any] = {}


def run_out(run: Run, *, steps: bool) -> RunOut:
    found = run.steps.filter(attempt=run.attempt) if steps else ()
    holder = page_queries.holder_of(run) if steps else None
    return RunOut(
        title=presenting.title(run),
        application=run.application.slug,
        release=run.release_id,
        environment=run.environment.name,
        waits_for=holder.number if holder else None,
        steps=[StepOut.from_orm(step) for step in found],
        **{
            name: getattr(run, name)
            for name in (
                "id", "number", "kind", "section", "state", "attempt", "summary", "error", "remedy", "build_digest",
                "progress", "result", "log_lines", "log_sealed", "created_at", "started_at", "ended_at",
            )
        },
    )  # fmt: skip


@router.get("/runs", response=list[RunOut], operation_id="list_runs")
def list_runs(request: HttpRequest, state: str = "", kind: str = "", q: str = "") -> list[RunOut]:
    """The newest 200 runs that match; ``state`` also takes active, decide, passed, not_passed."""
    filters = page_queries.RunFilters(text=q[:200], kind=kind[:60], state=state[:20])
    runs = page_queries.run_list(visible_applications(request.user), filters).defer(None).defer("plan_version__text")
    return [run_out(run, steps=False) for run in runs[:MOST]]


@router.get("/runs/{int:number}", response=RunOut, operation_id="get_run")
def get_run(request: HttpRequest, number: int) -> RunOut:
    """One run with its steps."""
    return run_out(visible_run(request.user, number), steps=True)


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
    return 201, run_out(run, steps=True)


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
    return run_out(run, steps=True)


@router.get("/plan-schema", response=dict[str, Any], operation_id="plan_schema", auth=None)
def plan_schema(request: HttpRequest) -> dict[str, Any]:
    """The JSON Schema of a plan, for editors and CI."""
    return json_schema()
