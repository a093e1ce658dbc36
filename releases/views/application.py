"""Pages of applications: what they are, where they run, who may do what, and the versions of their plans."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from releases.enums import Role
from releases.models import PlanVersion
from releases.permissions import get_application_or_404, roles_in, visible_applications


@login_required
@require_GET
def application_list(request: HttpRequest) -> HttpResponse:
    applications = visible_applications(request.user).prefetch_related("environments")
    return render(request, "releases/application/list.html", {"applications": applications})


@login_required
@require_GET
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    roles = roles_in(request.user, application)
    plans = application.plan_versions.defer("text", "document").select_related("author")
    newest = application.plan_versions.order_by("-number").first()
    places = (newest.document["environments"] if newest else {}).values()
    kept = {secret.name: secret for secret in application.secrets.select_related("updated_by")}
    needed = sorted({name for place in places for name in place.get("secrets", {}).values()} | set(kept))
    context = {
        "application": application,
        "environments": application.environments.select_related("current_release"),
        "plans": plans,
        "secrets": [(name, kept.get(name)) for name in needed],
        "members": application.memberships.select_related("user").order_by("user__name", "role"),
        "is_administrator": Role.ADMINISTRATOR in roles,
        "may_adopt": bool({Role.RELEASE_MANAGER, Role.ADMINISTRATOR} & roles),
        "may_publish": bool({Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR} & roles),
    }
    return render(request, "releases/application/detail.html", context)


@login_required
@require_GET
def plan_version(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    plan = get_object_or_404(PlanVersion.objects.select_related("author"), application=application, number=number)
    return render(request, "releases/application/plan.html", {"application": application, "plan": plan})
