"""Pages of schedules: all of an application, making and changing one, and what can be done with it."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from checks import presenting, scheduling
from checks.models import Schedule
from checks.plan import from_document
from checks.schedule_forms import ReasonForm, RhythmForm, ScheduleForm, rhythm_words
from releases.enums import Role
from releases.errors import DomainError
from releases.models import Application, PlanVersion
from releases.people import person
from releases.permissions import get_application_or_404, roles_in, visible_applications
from releases.views.acting import act, refuse


@login_required
@require_GET
def schedule_list(request: HttpRequest, slug: str) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    schedules = list(
        application.schedules.select_related("environment", "last_run__environment", "last_run__plan_version")
    )
    roles = roles_in(request.user, application)
    titles = _titles(application)
    context = {
        "application": application,
        "rows": [_row(schedule, roles, titles) for schedule in schedules],
        "may_make": bool(roles & {Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR}),
    }
    return render(request, "checks/schedule/list.html", context)


def _row(schedule: Schedule, roles: frozenset[Role], titles: dict[str, str]) -> dict[str, Any]:
    keepers = {Role.RELEASE_MANAGER, Role.ADMINISTRATOR}
    return {
        "schedule": schedule,
        "title": titles.get(schedule.section, schedule.section),
        "is_planned": schedule.section in titles,
        "rhythm": rhythm_words(schedule.cron),
        "last": presenting.shown(schedule.last_run) if schedule.last_run else None,
        "may_change": bool(roles & (keepers if schedule.environment.is_production else keepers | {Role.ENGINEER})),
        "may_start": bool(roles & {Role.ENGINEER, Role.RELEASE_MANAGER}),
    }


def _titles(application: Application) -> dict[str, str]:
    """Section -> title, of the newest plan."""
    newest = application.plan_versions.order_by("-number").defer("text").first()
    checks = newest.document.get("checks", {}) if newest else {}
    return {f"checks.{key}": check["title"] for key, check in checks.items()}


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, slug: str) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    try:
        plan = from_document(application.current_plan.document)
    except PlanVersion.DoesNotExist:
        raise Http404("This application has no plan yet.") from None
    wanted = {name: request.GET[name] for name in ("section", "every") if name in request.GET}
    form = ScheduleForm(application, plan, request.POST or None, initial=wanted)
    if request.method == "POST" and form.is_valid():
        try:
            made = scheduling.make_schedule(
                application=application,
                section=form.cleaned_data["section"],
                environment=form.cleaned_data["environment"],
                cron=form.cron_line,
                zone=form.cleaned_data["zone"],
                actor=person(request),
            )
            messages.success(request, f"It starts next {made.due_at:%Y-%m-%d %H:%M} UTC.")
            return redirect("checks:schedules", slug)
        except DomainError as error:
            refuse(form, error)
    context = {"application": application, "form": form}
    return render(request, "checks/schedule/form.html", context, status=422 if form.errors else 200)


def _visible(request: HttpRequest, schedule_id: int) -> Schedule:
    rows = Schedule.objects.select_related("application", "environment")
    return get_object_or_404(rows, pk=schedule_id, application__in=visible_applications(request.user))


@login_required
@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, schedule_id: int) -> HttpResponse:
    schedule = _visible(request, schedule_id)
    initial = {"every": "cron", "cron": schedule.cron, "zone": schedule.zone}
    form = RhythmForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            scheduling.change_schedule(
                schedule=schedule, cron=form.cron_line, zone=form.cleaned_data["zone"], actor=person(request)
            )
            return redirect("checks:schedules", schedule.application.slug)
        except DomainError as error:
            refuse(form, error)
    context = {"application": schedule.application, "schedule": schedule, "form": form}
    return render(request, "checks/schedule/form.html", context, status=422 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
def pause(request: HttpRequest, schedule_id: int) -> HttpResponse:
    schedule = _visible(request, schedule_id)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            scheduling.pause_schedule(schedule=schedule, actor=person(request), reason=form.cleaned_data["reason"])
            return redirect("checks:schedules", schedule.application.slug)
        except DomainError as error:
            refuse(form, error)
    context = {"application": schedule.application, "schedule": schedule, "form": form}
    return render(request, "checks/schedule/pause.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def resume(request: HttpRequest, schedule_id: int) -> HttpResponse:
    schedule = _visible(request, schedule_id)
    return act(
        request, lambda: scheduling.resume_schedule(schedule=schedule, actor=person(request)),
        done="It goes on.", to="checks:schedules", slug=schedule.application.slug,
    )  # fmt: skip


@login_required
@require_POST
def remove(request: HttpRequest, schedule_id: int) -> HttpResponse:
    schedule = _visible(request, schedule_id)
    return act(
        request, lambda: scheduling.remove_schedule(schedule=schedule, actor=person(request)),
        done="The schedule is removed; the runs that it started stay.", to="checks:schedules",
        slug=schedule.application.slug,
    )  # fmt: skip


@login_required
@require_POST
def start(request: HttpRequest, schedule_id: int) -> HttpResponse:
    schedule = _visible(request, schedule_id)
    try:
        run = scheduling.start_now(schedule=schedule, actor=person(request))
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("checks:schedules", schedule.application.slug)
    return redirect("checks:run_detail", run.number)
