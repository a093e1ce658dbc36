"""Pages of runs: the list, one run, starting one, and the decisions about one."""

from datetime import UTC, datetime
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.html import format_html_join
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from checks import log_reading, presenting, services
from checks import page_queries as queries
from checks.enums import ACTIVE_STATES, RunState
from checks.exporting import export_runs
from checks.findings import blocking
from checks.forms import DecisionForm, DeployForm, pretty
from checks.kinds.base import get_kind
from checks.log_views import visible_run
from checks.models import Run
from checks.plan import from_document
from checks.starting_views import STARTERS, may_start
from releases.domain import deploy as deploys
from releases.domain import gate as gates
from releases.enums import ReleaseState, Role
from releases.errors import DomainError
from releases.models import Release
from releases.paging import page_of
from releases.people import person
from releases.permissions import get_release_or_404, roles_in, visible_applications
from releases.views.stored import stored_file

LINES_ON_PAGE = 2000
_BOARD_OFFERS = (ReleaseState.DRAFT, ReleaseState.REHEARSING, ReleaseState.APPROVED, ReleaseState.FAILED)


@login_required
@require_GET
def run_list(request: HttpRequest) -> HttpResponseBase:
    applications = visible_applications(request.user)
    filters = queries.RunFilters.read(request.GET)
    runs = queries.run_list(applications, filters)
    if request.GET.get("format") in ("csv", "json"):
        return export_runs(request, runs, request.GET["format"])
    page = page_of(request, runs)
    return render(
        request,
        "checks/run/list.html",
        {
            "page": page,
            "runs": presenting.shown_all(list(page.object_list)),
            "filters": filters,
            "applications": applications,
            "kinds": [(kind, presenting.kind_title(kind)) for kind in queries.kinds_in_use(applications)],
            "counts": queries.state_counts(applications, filters),
        },
    )


#: What a run's page asks for while it is open. What changes with each second comes in one answer: steps, head and live
#: figures, which the page puts where they belong.
_PARTS: Final = {
    "progress": "checks/run/progress.html",
    "verdict": "checks/run/detail.html#verdict",
    "result": "checks/run/detail.html#result",
}


@login_required
@require_GET
def run_detail(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request.user, number)
    attempt = _attempt(request, run)
    part = request.GET.get("part", "")
    template = _PARTS.get(part) if "HX-Request" in request.headers else None
    context = _run_context(run, attempt) | _permitted(request, run) | {"part": part if template else ""}
    if template is None:
        context |= _log_context(request, run, attempt)
    return render(request, template or "checks/run/detail.html", context)


@login_required
@require_GET
def run_by_id(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id, application__in=visible_applications(request.user))
    return redirect("checks:run_detail", run.number)


def _attempt(request: HttpRequest, run: Run) -> int:
    asked = request.GET.get("attempt", "")
    return int(asked) if asked.isdecimal() and 0 < int(asked[:6]) <= run.attempt else run.attempt


def _run_context(run: Run, attempt: int) -> dict[str, Any]:
    """What costs a query or a drawing is made when the page, or the part of it that is asked for, shows it."""
    kind = get_kind(run.kind)

    def shown() -> presenting.ShownRun:
        return presenting.shown(run, usual=queries.usual_seconds([run]).get((run.section, run.environment_id)))

    steps = SimpleLazyObject(lambda: presenting.shown_steps(run, attempt))
    return {
        "run": run,
        "shown": SimpleLazyObject(shown),
        "kind": kind,
        "kind_template": kind.template(),
        "steps": steps,
        "pictures": SimpleLazyObject(lambda: kind.pictures(run.result, [step["figures"] for step in steps])),
        "attempt": attempt,
        "attempts": range(1, run.attempt + 1),
        "params": pretty(run.params) if run.params else "",
        "holder": SimpleLazyObject(lambda: queries.holder_of(run)),
        "evidence": SimpleLazyObject(lambda: queries.evidence_of(run)),
        "artifacts": run.result.get("artifacts", []),
        "earlier": SimpleLazyObject(lambda: presenting.shown_all(queries.earlier_runs(run))),
    }


#: A deploy that ended so waits for somebody who chooses what comes next.
_STOPPED = (RunState.FAILED, RunState.ERRORED, RunState.CANCELLED)


def _permitted(request: HttpRequest, run: Run) -> dict[str, bool]:
    roles = roles_in(request.user, run.application)
    starter = bool(roles & set(STARTERS))
    return {
        "may_cancel": run.state in ACTIVE_STATES and starter and run.cancel_requested_at is None,
        "may_retry": run.state not in (*ACTIVE_STATES, RunState.UNKNOWN) and starter and not run.exclusive,
        "may_decide": run.state == RunState.UNKNOWN and Role.RELEASE_MANAGER in roles,
        "may_continue": run.exclusive and run.state in _STOPPED and starter,
    }


def _log_context(request: HttpRequest, run: Run, attempt: int) -> dict[str, Any]:
    """The last lines of the log, or those before ?before=; the whole of it is always reachable by links."""
    before = request.GET.get("before", "")
    total = run.log_lines if attempt == run.attempt else queries.lines_of_attempt(run, attempt)
    end = min(int(before[:12]) - 1, total) if before.isdecimal() else total
    start = max(0, end - LINES_ON_PAGE)
    parts = [part for part in log_reading.lines_after(run.id, attempt, start, most=end - start) if part.first <= end]
    following = (run.active or not run.log_sealed) and attempt == run.attempt and not before
    page = reverse("checks:run_detail", args=[run.number])
    return {
        "lines_html": format_html_join("", "{}", ((part.to_html(),) for part in parts)),
        "first_line": start + 1,
        "last_line": parts[-1].last if parts else start,
        "older_url": f"{page}?attempt={attempt}&before={start + 1}" if start else "",
        "newer": end < total,
        "stream_url": f"{reverse('checks:log_stream', args=[run.number])}" if following else "",
        "lines_url": reverse("checks:log_lines", args=[run.number]),
        "raw_url": f"{reverse('checks:log_raw', args=[run.number])}?attempt={attempt}",
        "last_at": datetime.fromtimestamp(parts[-1].stamps[-1] / 1000, UTC) if parts else None,
        "sealed_lines": None if following or before else total,
    }


@login_required
@require_POST
def cancel(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request.user, number)
    return _act(
        request, run, lambda: services.cancel_run(run=run, actor=person(request)), "Asked to stop. It ends in a moment."
    )


@login_required
@require_http_methods(["GET", "POST"])
def decide(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request.user, number)
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.decide_unknown(run=run, actor=person(request), **form.cleaned_data)
            messages.success(request, "Your decision is kept in the ledger.")
            return redirect("checks:run_detail", number)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, error.message)
    return render(request, "checks/run/decide.html", {"run": run, "shown": presenting.shown(run), "form": form})


def _act(request: HttpRequest, run: Run, verb: Any, done: str) -> HttpResponse:
    """Do one verb; answer with the run's page (or the new run's), and say what happened."""
    try:
        result = verb()
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("checks:run_detail", run.number)
    messages.success(request, done)
    return redirect("checks:run_detail", result.number if isinstance(result, Run) else run.number)


@login_required
@require_GET
def artifact(request: HttpRequest, number: int, name: str) -> FileResponse:
    run = visible_run(request.user, number)
    for kept in run.result.get("artifacts", []):
        if kept["name"] == name:
            return stored_file(kept["key"], name)
    raise Http404(f"Run #{number} kept no file called {name}.")


@login_required
@require_GET
def release_panel(request: HttpRequest, release_id: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    runs = presenting.shown_all(queries.newest_runs(release))
    context = {
        "release": release,
        "runs": runs,
        "lived_with": blocking.lived_with(release, timezone.now()),
        # While the release is prepared, the board offers it beside the verdict.
        "may_start": release.state not in _BOARD_OFFERS and may_start(request, release),
    }
    is_part = "HX-Request" in request.headers
    return render(request, "checks/run/panel.html" if is_part else "checks/run/panel_page.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def deploy(request: HttpRequest, release_id: str) -> HttpResponse:
    """Into the target by default; ?environment= names the source for a rehearsal."""
    return _exclusive(request, release_id, "deploy")


@login_required
@require_http_methods(["GET", "POST"])
def rollback(request: HttpRequest, release_id: str) -> HttpResponse:
    return _exclusive(request, release_id, "rollback")


@login_required
@require_http_methods(["GET", "POST"])
def refresh(request: HttpRequest, release_id: str) -> HttpResponse:
    """The plan says which environment gets whose masked data."""
    release = get_release_or_404(request.user, release_id)
    plan = from_document(release.plan_version.document)
    if plan.refresh is None:
        raise Http404(f"Plan v{release.plan_version.number} has no section refresh.")
    form = DeployForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            run = services.start_refresh(release=release, actor=person(request))
            return redirect("checks:run_detail", run.number)
        except DomainError as error:
            form.add_error(None, error.message)
    steps = get_kind("refresh").steps(plan, "refresh", get_kind("refresh").Params())
    context = {"release": release, "refresh": plan.refresh, "form": form, "steps": steps, "plan": plan}
    return render(request, "checks/run/refresh.html", context)


def _exclusive(request: HttpRequest, release_id: str, section: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    name = request.GET.get("environment") or release.target_environment.name
    environment = next(
        (place for place in (release.source_environment, release.target_environment) if place.name == name), None
    )
    if environment is None:
        raise Http404(f"{release} has no environment called {name}.")
    asked = section == "deploy" and environment == release.target_environment
    gate = gates.evaluate(release) if asked else None
    shown = {"manifest_digest": gate.digest if gate else ""}
    form = DeployForm(request.POST if request.method == "POST" else None, initial=request.GET.dict() | shown)
    if request.method == "POST" and form.is_valid():
        try:
            run = _start(release, section, environment, request, form.cleaned_data)
            return redirect("checks:run_detail", run.number)
        except DomainError as error:
            form.add_error(None, error.message)
            # What changed is read before it is launched on: the page that says so carries the new digest.
            gate = gates.evaluate(release) if asked else None
            form.data = {**request.POST.dict(), "manifest_digest": gate.digest if gate else ""}
    plan = from_document(release.plan_version.document)
    context = {
        "release": release,
        "environment": environment,
        "section": section,
        "form": form,
        "gate": gate,
        "refusal": deploys.launch_refusal(release) if asked else "",
        "steps": get_kind(section).steps(plan, section, get_kind(section).Params()),
        "plan": plan,
    }
    return render(request, "checks/run/exclusive.html", context)


def _start(release: Release, section: str, environment: Any, request: HttpRequest, data: dict[str, Any]) -> Run:
    common = {"release": release, "actor": person(request), "environment": environment, "reason": data["reason"]}
    if section == "rollback":
        return services.start_rollback(**common)
    return services.start_deploy(
        **common,
        resume=data["resume"] or None,
        skip=data["skip"] or None,
        # Into production only on evidence that was seen; who names none has seen none. A rehearsal asks no gate.
        manifest_digest=data["manifest_digest"] if environment == release.target_environment else None,
    )
