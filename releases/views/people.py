"""Pages of people: who has an account, what they may do, and the end of an account."""

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from releases import people_queries as queries
from releases.domain import user as users
from releases.enums import Role
from releases.errors import DomainError
from releases.forms.release import ReasonForm
from releases.models import User
from releases.paging import page_of
from releases.people import person
from releases.permissions import administered_applications, get_person_or_404, manages_people, visible_applications
from releases.views.acting import act, refuse


def manager(request: HttpRequest) -> User:
    """The person, if the pages of people are for them; otherwise 403 with the reason, and 404 for a stranger."""
    user = person(request)
    if not manages_people(user):
        if not visible_applications(user).exists():
            raise Http404("There is no such page, or you have no role in an application.")
        raise PermissionDenied("People are looked after by the administrators of applications.")
    return user


@login_required
@require_GET
def people_list(request: HttpRequest) -> HttpResponseBase:
    viewer = manager(request)
    filters = queries.PeopleFilters.read(request.GET)
    found = queries.people_list(viewer, filters)
    if request.GET.get("format") in ("csv", "json"):
        return queries.export_people(request, found, request.GET["format"])
    page = page_of(request, found)
    context = {
        "nav": "people",
        "page": page,
        "rows": [{"user": user, "state": queries.account_state(user)} for user in page.object_list],
        "filters": filters,
        "counts": queries.group_counts(viewer, filters),
        "applications": queries.manageable_applications(viewer),
        "roles": Role.choices,
    }
    return render(request, "releases/user/list.html", context)


@login_required
@require_GET
def detail(request: HttpRequest, user_id: int) -> HttpResponse:
    viewer = manager(request)
    user = get_person_or_404(viewer, user_id)
    shown = queries.described(viewer).get(pk=user.pk)
    context = {
        "nav": "people",
        "shown": shown,
        "state": queries.account_state(shown),
        "is_me": viewer.pk == shown.pk,
        "why_not": users.why_not_manage(shown, viewer),
        "applications": queries.manageable_applications(viewer),
        "administered": set(administered_applications(viewer).values_list("pk", flat=True)),
        "history": queries.history_of_person(viewer, shown),
    }
    return render(request, "releases/user/detail.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def deactivate(request: HttpRequest, user_id: int) -> HttpResponse:
    viewer = manager(request)
    user = get_person_or_404(viewer, user_id)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            users.deactivate(user=user, actor=viewer, reason=form.cleaned_data["reason"])
            return redirect("releases:person_detail", user.pk)
        except DomainError as error:
            refuse(form, error)
    context = {"nav": "people", "shown": user, "form": form}
    return render(request, "releases/user/deactivate.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def reactivate(request: HttpRequest, user_id: int) -> HttpResponse:
    viewer = manager(request)
    user = get_person_or_404(viewer, user_id)
    return act(
        request, lambda: users.reactivate(user=user, actor=viewer),
        done=f"{user} may log in again, with the roles below.", to="releases:person_detail", user_id=user.pk,
    )  # fmt: skip
