"""Pages of applications: what they are, where they run, who may do what, and the versions of their plans."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from releases.domain import application as applications
from releases.domain.foresight import warnings_of
from releases.enums import Role, Tier
from releases.errors import DomainError
from releases.forms.application import ApplicationForm, NewApplicationForm
from releases.models import Application, PlanVersion, Release
from releases.page_queries import under_way
from releases.people import person
from releases.people_queries import history_of_application
from releases.permissions import get_application_or_404, manages_people, roles_in, visible_applications
from releases.views.acting import refuse
from releases.views.membership import administered


@login_required
@require_GET
def application_list(request: HttpRequest) -> HttpResponse:
    """What runs where: one line for each application, one column for each tier that any of them has."""
    applications = list(
        visible_applications(request.user).annotate(plan_number=Max("plan_versions__number")).prefetch_related(
            "environments"
        )
    )  # fmt: skip
    tiers = {place.tier for application in applications for place in application.environments.all()}
    shown = [tier for tier in Tier if tier in tiers]
    on_their_way = _under_way(applications)
    context = {
        "tiers": [tier.label for tier in shown],
        "rows": [
            {
                "application": application,
                "tiers": [
                    (tier.label, [place for place in application.environments.all() if place.tier == tier])
                    for tier in shown
                ],
                "releases": on_their_way[application.pk],
            }
            for application in applications
        ],
        "may_create": manages_people(request.user),
    }
    return render(request, "releases/application/list.html", context)


def _under_way(applications: Sequence[Application]) -> Mapping[int, list[Release]]:
    found: dict[int, list[Release]] = defaultdict(list)
    for release in under_way(Release.objects.filter(application__in=applications)).select_related("application"):
        found[release.application_id].append(release)
    return found


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    if not manages_people(request.user):
        if not visible_applications(request.user).exists():
            raise Http404("There is no such page, or you have no role in an application.")
        raise PermissionDenied("Applications are made by the administrators of others, and by who keeps the program.")
    form = NewApplicationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = applications.create_application(actor=person(request), **form.cleaned_data)
            return redirect("releases:application", made.slug)
        except DomainError as error:
            refuse(form, error)
    return render(request, "releases/application/edit.html", {"form": form}, status=422 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    application = administered(request, slug)
    now = {name: getattr(application, name) for name in ("name", "description", "plan_folder")}
    form = ApplicationForm(request.POST or None, initial=now)
    if request.method == "POST" and form.is_valid():
        try:
            applications.change_application(application=application, actor=person(request), **form.cleaned_data)
            return redirect("releases:application", slug)
        except DomainError as error:
            refuse(form, error)
    context = {"application": application, "form": form}
    return render(request, "releases/application/edit.html", context, status=422 if form.errors else 200)


@login_required
@require_GET
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    roles = roles_in(request.user, application)
    plans = application.plan_versions.defer("text", "document").select_related("author")
    newest = application.plan_versions.order_by("-number").first()
    kept = {secret.name: secret for secret in application.secrets.select_related("updated_by")}
    needed = sorted(_secrets_of(newest.document if newest else {}) | set(kept))
    context = {
        "application": application,
        "environments": application.environments.select_related("current_release"),
        "plans": plans,
        "secrets": [(name, kept.get(name)) for name in needed],
        "secrets_missing": sum(name not in kept for name in needed),
        "members": application.memberships.select_related("user").order_by("user__name", "role"),
        "is_administrator": Role.ADMINISTRATOR in roles,
        "may_adopt": bool({Role.RELEASE_MANAGER, Role.ADMINISTRATOR} & roles),
        "may_publish": bool({Role.RELEASE_MANAGER, Role.ADMINISTRATOR} & roles),
        "history": history_of_application(person(request), application),
    }
    return render(request, "releases/application/detail.html", context)


def _secrets_of(document: Mapping[str, Any]) -> set[str]:
    """Names of the secrets that a plan refers to: in its environments, and for the log-in of its audits."""
    names = {name for place in document.get("environments", {}).values() for name in place.get("secrets", {}).values()}
    for check in document.get("checks", {}).values():
        login = (check.get("params", {}).get("authentication") or {}).get("login", {})
        names |= {login[field] for field in ("user", "password") if login.get(field)}
    return names


@login_required
@require_GET
def plan_version(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    plan = get_object_or_404(PlanVersion.objects.select_related("author"), application=application, number=number)
    context = {
        "application": application,
        "plan": plan,
        "foreseen": warnings_of(plan.document),
        "checks": sorted(plan.document.get("checks", {}).items(), key=lambda item: item[1]["title"].lower()),
    }
    return render(request, "releases/application/plan.html", context)
