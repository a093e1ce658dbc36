"""The calendar: windows that are planned, and times in which nothing goes live."""

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from releases import page_queries as queries
from releases.domain import calendar
from releases.errors import DomainError
from releases.forms.calendar import FreezeForm
from releases.models import ChangeFreeze
from releases.people import person
from releases.permissions import visible_applications
from releases.views.acting import act, refuse


@login_required
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    applications = visible_applications(request.user)
    context = {
        "nav": "calendar",
        "agenda": queries.agenda(applications, days=60),
        "week": queries.week(applications),
        "past": queries.past_windows(applications),
        "may_freeze": queries.may_freeze(person(request)),
    }
    return render(request, "releases/calendar/overview.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def new_freeze(request: HttpRequest) -> HttpResponse:
    form = FreezeForm(person(request), request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            calendar.create_freeze(actor=person(request), **form.cleaned_data)
            return redirect("releases:calendar")
        except DomainError as error:
            refuse(form, error)
    return render(
        request, "releases/calendar/freeze.html", {"nav": "calendar", "form": form}, status=422 if form.errors else 200
    )


@login_required
@require_POST
def lift_freeze(request: HttpRequest, freeze_id: int) -> HttpResponse:
    # One of all applications has none of its own; everybody sees it, and the domain says who may lift it.
    shown = Q(application__in=visible_applications(request.user)) | Q(application__isnull=True)
    freeze = get_object_or_404(ChangeFreeze, shown, pk=freeze_id)
    return act(
        request, lambda: calendar.lift_freeze(freeze=freeze, actor=person(request)),
        done="The freeze is lifted.", to="releases:calendar",
    )  # fmt: skip
