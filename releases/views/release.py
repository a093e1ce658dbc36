"""Pages of releases: the list, a new one, the board, and what a release manager does there."""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseForbidden,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from releases import page_queries as queries
from releases.domain import break_glass as glasses
from releases.domain import deploy as deploys
from releases.domain import gate as gates
from releases.domain import pack
from releases.domain import release as releases
from releases.doorbell import release_channel
from releases.enums import ReleaseState, Role
from releases.errors import DomainError
from releases.exporting import export_releases
from releases.forms.release import ReasonForm, ReleaseForm, WindowForm
from releases.listening import topics, while_allowed
from releases.models import Release
from releases.paging import page_of
from releases.people import person
from releases.permissions import get_release_or_404, shown_roles, visible_applications
from releases.views import showing
from releases.views.acting import act, refuse

#: Where a launch is ahead: the first one, or another try after a deploy that stopped. People may vote here.
_ASKING = (ReleaseState.DRAFT, ReleaseState.REHEARSING, ReleaseState.APPROVED, ReleaseState.FAILED)
BOARD_TOPICS = "run evidence vote state risk window waiver poll plan changed"


@login_required
@require_GET
def release_list(request: HttpRequest) -> HttpResponseBase:
    filters = queries.ReleaseFilters.read(request.GET)
    found = queries.release_list(person(request), filters)
    if request.GET.get("format") in ("csv", "json"):
        return export_releases(request, found, request.GET["format"])
    page = page_of(request, found, size=25)
    rows = list(page.object_list)
    evaluated = gates.evaluate_many(rows)
    context = {
        "nav": "releases",
        "page": page,
        "rows": [_row(release, evaluated[release.pk]) for release in rows],
        "filters": filters,
        "counts": queries.state_counts(person(request), filters),
        "waiting": queries.waiting_for(person(request)),
        "agenda": queries.agenda(visible_applications(request.user)),
        "may_create": queries.may_create(person(request)),
    }
    return render(request, "releases/release/list.html", context)


@login_required
@require_GET
def waiting(request: HttpRequest) -> HttpResponse:
    """How much waits for this person, for the top of every page."""
    return render(request, "releases/release/waiting.html", {"waiting": len(queries.waiting_for(person(request)))})


def _row(release: Release, gate: gates.Gate) -> dict[str, Any]:
    """One line of the list. A release that is over has no verdict any more, only its state."""
    under_way = release.state in (ReleaseState.DRAFT, ReleaseState.REHEARSING, ReleaseState.APPROVED)
    return {
        "release": release,
        "verdict": gate.verdict.value if under_way and release.state != ReleaseState.DRAFT else "",
        "stations": [showing.shown_station(release, station, gate.items) for station in gate.stations],
        "next": gate.blockers[0] if gate.blockers else None,
        "more": len(gate.blockers) - 1,
        "break_glass": bool(gate.break_glass),
        "under_way": under_way,
    }


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    form = ReleaseForm(person(request), request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        build = data.pop("build")
        try:
            release = releases.create_release(
                **data, build_name=build.name, build_file=build.file, requester=person(request)
            )
            return redirect("releases:release", release.pk)
        except DomainError as error:
            refuse(form, error)
    return render(
        request, "releases/release/new.html", {"nav": "releases", "form": form}, status=422 if form.errors else 200
    )


@login_required
@require_GET
def board(request: HttpRequest, release_id: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    gate = gates.evaluate(release)
    part = request.GET.get("part") == "board" and "HX-Request" in request.headers
    context = _board(request, release, gate)
    return render(request, "releases/release/board.html#board" if part else "releases/release/board.html", context)


def _board(request: HttpRequest, release: Release, gate: gates.Gate) -> dict[str, Any]:
    roles = shown_roles(request.user, release.application)
    return {
        "nav": "releases",
        "release": release,
        "gate": gate,
        "topics": BOARD_TOPICS,
        "blockers": showing.shown_blockers(release, gate.blockers),
        "waits": showing.shown_blockers(release, gate.launch_blockers),
        "stations": [showing.shown_station(release, station, gate.items) for station in gate.stations],
        "votes": showing.shown_poll(gate.poll),
        "in_favour": sum(station.in_favour for station in gate.poll),
        "timeline": showing.timeline(release, gate),
        "risks": showing.risk_cells(gate),
        "highest": max(gate.risks, key=lambda position: position.score, default=None),
        "facts": showing.facts(release, gate),
        "before_launch": release.state in (ReleaseState.DRAFT, ReleaseState.REHEARSING, ReleaseState.APPROVED),
        "asks_the_gate": release.state in _ASKING,
        "standing": showing.standing(release),
        "newer_plan": queries.newer_plan(release),
        "history": queries.history(release),
        "gate_test": _gate_test(release, gate),
        **_permitted(release, gate, roles),
    }


def _gate_test(release: Release, gate: gates.Gate) -> str:
    """The section of the plan's first test of the gate; "" where it has none, or it runs now."""
    running = {status.item.section for status in gate.items if status.running}
    checks = release.plan_version.document.get("checks", {})
    section = next((f"checks.{key}" for key, check in checks.items() if check["kind"] == "gate_test"), "")
    return "" if section in running else section


def _permitted(release: Release, gate: gates.Gate, roles: frozenset[Role]) -> dict[str, bool]:
    """Which buttons stand on the board. Each verb asks again."""
    manager = Role.RELEASE_MANAGER in roles
    before = release.state in (ReleaseState.REHEARSING, ReleaseState.APPROVED)
    preparing = before or release.state == ReleaseState.FAILED
    rescued = any(glasses.opens(glass, release, timezone.now()) for glass in gate.break_glass)
    return {
        "is_manager": manager,
        "may_start": bool({Role.ENGINEER, Role.RELEASE_MANAGER} & roles) and preparing,
        "may_run_again": bool({Role.ENGINEER, Role.RELEASE_MANAGER} & roles) and preparing and any(
            status.item.blocking and status.item.section.startswith("checks.") and not status.green
            and not status.running for status in gate.items
        ),
        "may_rehearse": bool({Role.ENGINEER, Role.RELEASE_MANAGER} & roles) and release.state == ReleaseState.DRAFT,
        "may_schedule": manager and (preparing or release.state == ReleaseState.DRAFT),
        "may_open_poll": manager and preparing and release.poll_opened_at is None,
        "may_vote": Role.APPROVER in roles and preparing and release.poll_opened_at is not None,
        # After a deploy that stopped, the next try is started on the page of its run, where the step is chosen.
        "may_deploy": manager and before and (gate.may_launch or rescued),
        "shows_deploy": manager and before,
        "may_use_plan": manager and (before or release.state == ReleaseState.DRAFT),
        "may_roll_back": manager and release.state in (
            ReleaseState.WATCHING, ReleaseState.LIVE, ReleaseState.FAILED, ReleaseState.UNKNOWN
        ),
        "may_cancel": manager and release.state in (
            ReleaseState.DRAFT, ReleaseState.REHEARSING, ReleaseState.APPROVED, ReleaseState.FAILED,
            ReleaseState.ROLLED_BACK,
        ),
        "may_reopen": manager and release.state == ReleaseState.ROLLED_BACK,
        "may_break_glass": bool({Role.RELEASE_MANAGER, Role.APPROVER} & roles) and preparing and not gate.open,
    }  # fmt: skip


@require_GET
async def events(request: HttpRequest, release_id: str) -> HttpResponseBase:
    """What changes on the board, as it changes: one event for each topic."""
    user = await request.auser()
    if not user.is_authenticated:
        return HttpResponseForbidden("Log in to follow this release.")
    release = await sync_to_async(get_release_or_404)(user, release_id)
    frames = while_allowed(topics(release_channel(release.pk)), user.pk, release.application_id)
    response = StreamingHttpResponse(frames, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


@login_required
@require_POST
def rehearse(request: HttpRequest, release_id: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    done = "The rehearsal has begun. Deploy the build to the source environment first."
    return act(
        request, lambda: releases.start_rehearsal(release=release, actor=person(request)),
        done=done, to="releases:release", release_id=release.pk,
    )  # fmt: skip


@login_required
@require_http_methods(["GET", "POST"])
def window(request: HttpRequest, release_id: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    form = WindowForm(request.POST or None, initial={"opens": release.window_opens, "closes": release.window_closes})
    if request.method == "POST" and form.is_valid():
        try:
            releases.schedule_window(release=release, actor=person(request), **form.cleaned_data)
            return redirect("releases:release", release.pk)
        except DomainError as error:
            refuse(form, error)
    context = {
        "nav": "releases",
        "release": release,
        "form": form,
        "agenda": queries.agenda(visible_applications(request.user)),
    }
    return render(request, "releases/release/window.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def use_plan(request: HttpRequest, release_id: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    plan = release.application.current_plan
    return act(
        request, lambda: releases.use_plan_version(release=release, plan_version=plan, actor=person(request)),
        done=f"This release follows plan v{plan.number} now. Evidence of changed sections no longer counts.",
        to="releases:release", release_id=release.pk,
    )  # fmt: skip


@login_required
@require_http_methods(["GET", "POST"])
def cancel(request: HttpRequest, release_id: str) -> HttpResponse:
    return _with_reason(request, release_id, "cancel", releases.cancel)


@login_required
@require_http_methods(["GET", "POST"])
def reopen(request: HttpRequest, release_id: str) -> HttpResponse:
    return _with_reason(request, release_id, "reopen", deploys.reopen)


def _with_reason(request: HttpRequest, release_id: str, deed: str, verb: Any) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            verb(release=release, actor=person(request), reason=form.cleaned_data["reason"])
            return redirect("releases:release", release.pk)
        except DomainError as error:
            refuse(form, error)
    context = {"nav": "releases", "release": release, "form": form, "deed": deed}
    return render(request, "releases/release/reason.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def evidence_pack(request: HttpRequest, release_id: str) -> FileResponse:
    """Everything that was known about a release, as one file that can be checked without this program.

    The download is an entry of the ledger, with who asked for it.
    """
    release = get_release_or_404(request.user, release_id)
    return FileResponse(
        pack.build(release, actor=person(request)),
        as_attachment=True,
        filename=f"{release.application.slug}-{release.version}.zip",
    )
