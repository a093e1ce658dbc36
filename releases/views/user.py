"""One's own page: who one is here, in which zone, and with which roles."""

import zoneinfo

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from releases.domain.user import describe_oneself
from releases.errors import DomainError
from releases.people import person
from releases.views.acting import refuse


class PersonForm(forms.Form):
    name = forms.CharField(max_length=200)
    time_zone = forms.ChoiceField(
        choices=[(name, name) for name in sorted(zoneinfo.available_timezones())],
        help_text="Every time on the pages is shown in this zone.",
    )


@login_required
@require_http_methods(["GET", "POST"])
def me(request: HttpRequest) -> HttpResponse:
    user = person(request)
    form = PersonForm(request.POST or None, initial={"name": user.name, "time_zone": user.time_zone})
    if request.method == "POST" and form.is_valid():
        try:
            describe_oneself(person=user, **form.cleaned_data)
        except DomainError as error:
            refuse(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("releases:person")
    memberships = user.memberships.select_related("application").order_by("application__name", "role")
    return render(
        request, "releases/user/me.html", {"form": form, "memberships": memberships}, status=422 if form.errors else 200
    )


@login_required
def address_is_fixed(request: HttpRequest) -> HttpResponse:
    """In the place of the log-in's own page, which would take any address unproven and tell nobody."""
    raise PermissionDenied(
        "An account keeps its e-mail address: it is what people and the ledger know you by. Whoever gets another "
        "address is invited with it by an administrator, and the account of before is deactivated."
    )
